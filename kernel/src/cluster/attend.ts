/**
 * `fil attend`: stands by the workers of one machine while they are profiled. The first worker starts it, and all of them and their nannies
 * find it by a socket in a directory for this user only. It ends when it is told, or when nobody has asked for anything for a while.
 */
import { rmSync, statSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as z from 'zod/mini';
import { loadAddon } from '../addon.js';
import { reasonOf, StartFailure } from '../failure.js';
import { startWatchdog } from '../proxy/watchdog.js';
import { VERSION } from '../version.js';
import { Machine } from './machine.js';

export const SOCKET = 'socket';
const OTHERS_RIGHTS = 0o077;
const LONGEST_REQUEST = 64 * 1024;
/** Who profiles asks every 20 s: see `filprofiler/workers.py`. */
const LEASE_MS = 120_000;

const Request = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('join'),
    pid: z.int().check(z.minimum(1)),
    name: z.string(),
    limitBytes: z.nullable(z.int().check(z.minimum(0))),
    clockOffsetSeconds: z.number(),
    workingDirectory: z.string(),
  }),
  z.object({ type: z.literal('renew') }),
  /** Ends the profile; answered by the machine's report, compressed. It can be asked for again. */
  z.object({ type: z.literal('report') }),
  /** Nobody needs it any more. */
  z.object({ type: z.literal('end') }),
]);
type Request = z.infer<typeof Request>;

/** @param directory is there, and is removed at the end. */
export async function attend(directory: string): Promise<void> {
  const status = statSync(directory);
  if (status.uid !== process.getuid?.() || (status.mode & OTHERS_RIGHTS) !== 0) {
    throw new StartFailure(`${directory} is not for this user only. It was not used.`);
  }
  const watchdog = startWatchdog(directory);
  const machine = new Machine(loadAddon());
  let report: Buffer | null = null;
  let finished: () => void = () => undefined;
  const end = new Promise<void>((resolve) => (finished = resolve));
  let lease = setTimeout(finished, LEASE_MS);

  const answer = (request: Request): Buffer => {
    clearTimeout(lease);
    lease = setTimeout(finished, LEASE_MS);
    switch (request.type) {
      case 'join':
        return Buffer.from(JSON.stringify({ directory: machine.expect(request), version: VERSION, host: hostname() }));
      case 'renew':
        return Buffer.from(JSON.stringify({ directory: machine.directory }));
      case 'report':
        report ??= gzipSync(JSON.stringify(machine.finish()), { level: 4 });
        return report;
      case 'end':
        finished();
        return Buffer.from('{}');
    }
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    serve(socket, answer);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(join(directory, SOCKET), resolve);
  });
  process.on('SIGTERM', finished);
  process.on('SIGINT', finished);
  await end;
  clearTimeout(lease);
  server.close();
  machine.close();
  rmSync(directory, { recursive: true, force: true });
  watchdog.dismiss();
}

function serve(socket: Socket, answer: (request: Request) => Buffer): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('error', () => undefined);
  socket.on('data', (data: string) => {
    text += data;
    if (text.length > LONGEST_REQUEST) {
      socket.destroy();
    }
  });
  socket.on('end', () => {
    let reply: Buffer;
    try {
      reply = answer(Request.parse(JSON.parse(text)));
    } catch (error) {
      reply = Buffer.from(JSON.stringify({ problem: reasonOf(error) }));
    }
    socket.end(reply);
  });
}
