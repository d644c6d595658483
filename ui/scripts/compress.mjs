// Writes a Brotli file beside each text asset; the server sends it to whoever accepts it.
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const dist = new URL('../dist', import.meta.url).pathname;

for (const entry of readdirSync(dist, { recursive: true })) {
  const path = join(dist, String(entry));
  if (statSync(path).isFile() && /\.(js|css|html|svg|json)$/.test(path)) {
    const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
    writeFileSync(`${path}.br`, brotliCompressSync(readFileSync(path), options));
  }
}
