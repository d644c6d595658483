// Lines of a body, as they arrive.

/** Each line, without its end. A last line that has no end is left out: it did not arrive whole. */
export async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') yield line;
    }
  } finally {
    // Whoever reads no further wants no more of it.
    void reader.cancel().catch(() => {});
  }
}
