import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// The server answers the API and serves what is built; in development its address is the proxy's.
const server = process.env['PITVIPER_URL'] ?? 'http://127.0.0.1:4390';

export default defineConfig({
  plugins: [react()],
  build: { target: 'es2022', assetsInlineLimit: 0 },
  server: { proxy: { '/api': server } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
