import { expect, test } from 'vitest';

import { linesOf } from './lines';

const body = (...parts: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      parts.forEach((part) => controller.enqueue(part));
      controller.close();
    },
  });

async function all(stream: ReadableStream<Uint8Array>): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(stream)) lines.push(line);
  return lines;
}

test('lines are put together wherever they were cut', async () => {
  const bytes = new TextEncoder().encode('{"a":"é"}\n\n{"b":2}\n{"c":');
  for (let size = 1; size <= bytes.length; size++) {
    const parts = [];
    for (let at = 0; at < bytes.length; at += size) parts.push(bytes.slice(at, at + size));
    expect(await all(body(...parts))).toEqual(['{"a":"é"}', '{"b":2}']);
  }
});

test('whoever reads no further ends the stream', async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('x\n')),
    cancel: () => void (cancelled = true),
  });
  for await (const line of linesOf(endless)) {
    expect(line).toBe('x');
    break;
  }
  expect(cancelled).toBe(true);
});
