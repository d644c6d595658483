// Fails when the built UI is larger than it may be, or names a foreign origin to load from.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const FIRST_LOAD_LIMIT = 160 * 1024;
const TOTAL_LIMIT = 700 * 1024;

const dist = new URL('../dist', import.meta.url).pathname;
const files = readdirSync(dist, { recursive: true })
  .map((entry) => join(dist, String(entry)))
  .filter((path) => statSync(path).isFile() && /\.(js|css|html)$/.test(path));
const size = (path) => gzipSync(readFileSync(path)).length;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const first = files.filter((path) => html.includes(path.slice(dist.length + 1))).reduce((sum, path) => sum + size(path), 0);
const total = files.reduce((sum, path) => sum + size(path), 0);
const foreign = /(?:src|href)="https?:/.test(html);

console.log(`first load ${(first / 1024).toFixed(1)} kB gzip of ${FIRST_LOAD_LIMIT / 1024}, total ${(total / 1024).toFixed(1)} of ${TOTAL_LIMIT / 1024}`);
if (first > FIRST_LOAD_LIMIT || total > TOTAL_LIMIT || foreign) {
  console.error(foreign ? 'index.html loads from a foreign origin' : 'the built UI is over its budget');
  process.exit(1);
}
