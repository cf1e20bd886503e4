import { defineConfig } from '@playwright/test';
import { LAB_URL, labServer } from './lab-server.js';

export default defineConfig({
  testDir: '.',
  // A measurement, see `npm run bench:lab`.
  testIgnore: process.env['FIL_MEASURE_START'] === '1' ? [] : ['start.spec.ts'],
  outputDir: 'test-results',
  // One Lab server and one kernel at a time: two of them would only wait for each other on two cores.
  workers: 1,
  fullyParallel: false,
  timeout: 90_000,
  expect: { timeout: 30_000 },
  reporter: 'list',
  use: {
    baseURL: LAB_URL,
    viewport: { width: 1280, height: 1100 },
    launchOptions: {
      executablePath: process.env['FIL_CHROMIUM'] ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    },
  },
  webServer: labServer(),
});
