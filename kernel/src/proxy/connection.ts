/**
 * Connection files: where a kernel's five channels are, and the key that signs its messages.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as z from 'zod/mini';
import { reasonOf, StartFailure } from '../failure.js';

export const CHANNELS = ['shell', 'control', 'stdin', 'iopub', 'hb'] as const;
export type Channel = (typeof CHANNELS)[number];

const port = z.int().check(z.minimum(0), z.maximum(65_535));
/** Z85 text of a 32-byte key. */
const curveKey = z.optional(z.string().check(z.length(40)));

/** Unknown members (kernel name, session) are kept: the child's file is made from the client's. */
const ConnectionFile = z.looseObject({
  transport: z._default(z.enum(['tcp', 'ipc']), 'tcp'),
  ip: z._default(z.string(), '127.0.0.1'),
  key: z._default(z.string(), ''),
  signature_scheme: z._default(z.string().check(z.regex(/^hmac-/)), 'hmac-sha256'),
  shell_port: port,
  control_port: port,
  stdin_port: port,
  iopub_port: port,
  hb_port: port,
  curve_publickey: curveKey,
  curve_secretkey: curveKey,
});
export type ConnectionFile = z.infer<typeof ConnectionFile>;

/**
 * Reads a client's connection file.
 *
 * @throws {StartFailure} if it can't be read or is no connection file.
 */
export function readConnectionFile(path: string): ConnectionFile {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new StartFailure(
      `The connection file ${path} can't be read: ${reasonOf(error)}. Start the kernel from Jupyter.`,
    );
  }
  const result = z.safeParse(ConnectionFile, data);
  if (!result.success) {
    const issue = result.error.issues[0];
    const where = issue === undefined ? '' : ` (${issue.path.join('.') || 'at the top'}: ${issue.message})`;
    throw new StartFailure(`${path} is not a Jupyter connection file${where}. Start the kernel from Jupyter.`);
  }
  return result.data;
}

/** ZeroMQ's address of a channel; port 0 of TCP is one that the system chooses. */
export function endpoint(connection: ConnectionFile, channel: Channel): string {
  const { transport, ip } = connection;
  const number = connection[`${channel}_port`];
  switch (transport) {
    case 'tcp':
      return `tcp://${ip.includes(':') && !ip.startsWith('[') ? `[${ip}]` : ip}:${number === 0 ? '*' : number}`;
    case 'ipc':
      return `ipc://${ip}-${number}`;
  }
}

/**
 * Writes the connection file of the child: the client's key and file name (tools take the kernel's id from it), but sockets in
 * `directory`. The keys of transport encryption stay with the fronts.
 */
export function writeChildConnectionFile(
  client: ConnectionFile,
  clientPath: string,
  directory: string,
): ChildConnection {
  const connection: ConnectionFile = {
    ...client,
    transport: 'ipc',
    ip: join(directory, 'k'),
    shell_port: 1,
    control_port: 2,
    stdin_port: 3,
    iopub_port: 4,
    hb_port: 5,
  };
  delete connection.curve_publickey;
  delete connection.curve_secretkey;
  const path = join(directory, basename(clientPath));
  writeFileSync(path, JSON.stringify(connection), { mode: 0o600 });
  return { connection, path };
}

export interface ChildConnection {
  readonly connection: ConnectionFile;
  readonly path: string;
}

/** Writes the ports that the system chose into the client's file, as ipykernel does. */
export function updateConnectionFile(path: string, connection: ConnectionFile): void {
  writeFileSync(path, JSON.stringify(connection, null, 1), { mode: 0o600 });
}
