import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StartFailure } from '../../src/failure.js';
import { endpoint, readConnectionFile, writeChildConnectionFile } from '../../src/proxy/connection.js';

const CLIENT = {
  transport: 'tcp',
  ip: '127.0.0.1',
  key: 'secret',
  signature_scheme: 'hmac-sha256',
  shell_port: 1001,
  control_port: 1002,
  stdin_port: 1003,
  iopub_port: 1004,
  hb_port: 1005,
  kernel_name: 'filprofile',
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'connection-test-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function fileOf(content: unknown): string {
  const path = join(directory, 'kernel-1.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('the client’s file', () => {
  test('is read with what it does not say filled in', () => {
    const path = fileOf({ ...CLIENT, transport: undefined, ip: undefined, signature_scheme: undefined });
    expect(readConnectionFile(path)).toEqual(CLIENT);
  });

  test.each([
    ['a port out of range', { ...CLIENT, hb_port: 65_536 }, /hb_port/],
    ['a missing port', { ...CLIENT, iopub_port: undefined }, /iopub_port/],
    ['an unknown transport', { ...CLIENT, transport: 'pigeon' }, /transport/],
    ['a damaged key of encryption', { ...CLIENT, curve_secretkey: 'short' }, /curve_secretkey/],
    ['no JSON', 'shell_port=1', /can't be read/],
    ['no object', [], /not a Jupyter connection file/],
  ])('%s is explained', (_what, content, said) => {
    expect(() => readConnectionFile(fileOf(content))).toThrow(StartFailure);
    expect(() => readConnectionFile(fileOf(content))).toThrow(said);
  });

  test('the key is not part of any explanation', () => {
    const path = fileOf({ ...CLIENT, hb_port: 'secret' });
    expect(() => readConnectionFile(path)).toThrow(/^(?!.*secret).*$/);
  });
});

describe('addresses', () => {
  const read = (changes: object) => readConnectionFile(fileOf({ ...CLIENT, ...changes }));

  test('of TCP, of IPC, of IPv6, of a port that the system chooses', () => {
    expect(endpoint(read({}), 'shell')).toBe('tcp://127.0.0.1:1001');
    expect(endpoint(read({ transport: 'ipc', ip: '/run/k' }), 'hb')).toBe('ipc:///run/k-1005');
    expect(endpoint(read({ ip: '::1' }), 'iopub')).toBe('tcp://[::1]:1004');
    expect(endpoint(read({ control_port: 0 }), 'control')).toBe('tcp://127.0.0.1:*');
  });
});

describe('the child’s file', () => {
  test('has the name, the key and the other members of the client’s, and sockets of its own', () => {
    const { path, connection } = writeChildConnectionFile(
      readConnectionFile(fileOf(CLIENT)),
      '/run/jupyter/kernel-1.json',
      directory,
    );
    expect(path).toBe(join(directory, 'kernel-1.json'));
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(connection);
    expect(connection).toMatchObject({ transport: 'ipc', key: 'secret', kernel_name: 'filprofile' });
    expect(endpoint(connection, 'shell')).toBe(`ipc://${directory}/k-1`);
  });

  test('can be read by this user only, and lacks the keys of transport encryption', () => {
    const keys = { curve_publickey: 'p'.repeat(40), curve_secretkey: 's'.repeat(40) };
    const target = mkdtempSync(join(directory, 'private-'));
    const { path } = writeChildConnectionFile(
      readConnectionFile(fileOf({ ...CLIENT, ...keys })),
      '/x/kernel-2.json',
      target,
    );
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'utf8')).not.toContain('curve');
  });
});
