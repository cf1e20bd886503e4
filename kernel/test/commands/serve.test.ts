import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { serve, type Serving } from '../../src/commands/serve.js';

let directory: string;
let serving: Serving;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'serve-test-'));
  const report = join(directory, 'served', '2026 <b>#1');
  mkdirSync(report, { recursive: true });
  writeFileSync(join(report, 'index.html'), '<p>the page</p>');
  writeFileSync(join(report, 'profile.json'), '{}');
  writeFileSync(join(report, 'secret.txt'), 'secret');
  writeFileSync(join(directory, 'index.html'), 'outside');
  serving = await serve(join(directory, 'served'), { port: 0 });
});
afterEach(() => {
  serving.server.close();
  serving.server.closeAllConnections();
  rmSync(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Not `fetch`, which would tidy the path. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const { port, address } = serving.server.address() as AddressInfo;
  expect(address).toBe('127.0.0.1');
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function cookie(): Promise<{ Cookie: string }> {
  const { search } = new URL(serving.url);
  const { status, headers } = await get(`/${search}`);
  expect(status).toBe(303);
  expect(headers['location']).toBe('/');
  const [set = ''] = headers['set-cookie'] ?? [];
  expect(set).toMatch(/; HttpOnly; SameSite=Strict/);
  return { Cookie: set.split(';')[0] ?? '' };
}

const REPORT = '/2026%20%3Cb%3E%231/index.html';

test('the address with the token leads to a list of the reports', async () => {
  const { status, text, headers } = await get('/', await cookie());
  expect(status).toBe(200);
  expect(text).toContain('2026 &lt;b&gt;#1');
  expect(text).toContain(`href="${REPORT}"`);
  expect(text).not.toContain('secret');
  expect(headers['content-security-policy']).toContain("default-src 'none'");
});

test('a report is given out as it is, in an origin of its own', async () => {
  const { status, text, headers } = await get(REPORT, await cookie());
  expect({ status, text }).toEqual({ status: 200, text: '<p>the page</p>' });
  expect(headers['content-security-policy']).toMatch(/^sandbox /);
  expect(headers['content-security-policy']).not.toContain('allow-same-origin');
  expect(headers['x-content-type-options']).toBe('nosniff');
});

test('without the token, or with another, nothing is given out', async () => {
  for (const [path, headers] of [
    ['/', {}],
    [REPORT, {}],
    ['/?token=wrong', {}],
    [`${REPORT}?token=`, {}],
    [REPORT, { Cookie: 'fil-token=wrong' }],
  ] as const) {
    const { status, text } = await get(path, headers);
    expect(status).toBe(403);
    expect(text).toMatch(/^The token is (?:wrong|missing)\. Use the address/);
  }
});

test('a page that reaches this machine under another name gets nothing', async () => {
  const headers = await cookie();
  expect((await get('/', { ...headers, Host: 'evil.example:80' })).status).toBe(403);
  expect((await get('/', { ...headers, Host: 'localhost:9999' })).status).toBe(200);
});

test('what is no report, or lies outside the directory, is not given out', async () => {
  const headers = await cookie();
  symlinkSync(join(directory, 'index.html'), join(directory, 'served', 'index.html'));
  for (const path of [
    '/2026%20%3Cb%3E%231/secret.txt',
    '/../index.html',
    '/%2e%2e/index.html',
    '/..%2findex.html',
    '/2026%20%3Cb%3E%231/..%2f..%2f..%2findex.html',
    '/index.html',
    '/nothing/index.html',
    '/%00/index.html',
    '/%ff/index.html',
    '//etc/passwd',
  ]) {
    const { status, text } = await get(path, headers);
    expect({ path, status }).toEqual({ path, status: 404 });
    expect(text).not.toMatch(/outside|secret/);
  }
});

test('only reading is possible', async () => {
  expect((await get('/', await cookie(), 'POST')).status).toBe(405);
});

test('a port that is taken is an error that says what to do', async () => {
  const { port } = serving.server.address() as AddressInfo;
  await expect(serve(directory, { port })).rejects.toThrow(/Port \d+ can't be used: .*EADDRINUSE.*--port/);
});
