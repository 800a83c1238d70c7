import { defineConfig } from 'vitest/config'

// On an older Node most tests would run, and prove little.
if (Number.parseInt(process.versions.node) < 24) {
  throw new Error('Node 24 is needed: run `npm ci` with install scripts on, then `npm test`')
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: ['src/**/index.ts', 'src/main.ts', 'src/console/**'],
    },
  },
})
