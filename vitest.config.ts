import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{schema,kernel,labextension,scripts}/test/**/*.test.ts'],
    // Two cores: parallel workers only make timings noisy.
    maxWorkers: 2,
    testTimeout: 30_000,
  },
});
