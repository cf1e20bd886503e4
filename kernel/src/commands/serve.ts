/**
 * `fil-profile serve`: shows the reports of a directory in the browser of another machine, through a tunnel. For this machine only, and
 * only for who has the token: other users of the machine can connect to its ports too.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { reasonOf } from '../failure.js';
import { CommandFailure } from './failure.js';
import { listingPage } from './listing.js';
import { openServedFile, reportsBelow } from './served-files.js';

const LOCALHOST = '127.0.0.1';
/** What a browser on this machine, or at the other end of a tunnel, calls us. Other names are of pages that try to reach us. */
const OUR_NAMES = new Set(['127.0.0.1', 'localhost', '[::1]']);
const TOKEN_BYTES = 24;
const COOKIE = 'fil-token';

export interface ServeOptions {
  /** 0 for any that is free. */
  readonly port: number;
}

export interface Serving {
  readonly server: Server;
  /** With the token. */
  readonly url: string;
}

/**
 * Serves until the server is closed.
 *
 * @throws {CommandFailure} if the port can't be had.
 */
export function serve(directory: string, { port }: ServeOptions): Promise<Serving> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const server = createServer((request, response) => {
    try {
      answer(directory, token, request, response);
    } catch (error) {
      refuse(response, 500, `The file can't be read: ${reasonOf(error)}`);
    }
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new CommandFailure(`Port ${port} can't be used: ${reasonOf(error)}. Choose another with --port.`, 1));
    });
    server.listen(port, LOCALHOST, () => {
      const { port: taken } = server.address() as AddressInfo;
      resolve({ server, url: `http://${LOCALHOST}:${taken}/?token=${token}` });
    });
  });
}

function answer(directory: string, token: string, request: IncomingMessage, response: ServerResponse): void {
  const host = /^(.*?)(?::\d+)?$/.exec(request.headers.host ?? '')?.[1] ?? '';
  if (!OUR_NAMES.has(host)) {
    refuse(response, 403, 'This server answers to localhost only.');
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(response, 405, 'Only GET is understood here.');
    return;
  }
  const url = new URL(request.url ?? '/', `http://${LOCALHOST}`);
  const given = url.searchParams.get('token');
  if (given !== null) {
    if (!isSame(given, token)) {
      refuse(response, 403, 'The token is wrong. Use the address that `fil-profile serve` has printed.');
      return;
    }
    // Out of the address, which people copy and browsers keep.
    response.writeHead(303, {
      ...commonHeaders(),
      'Set-Cookie': `${COOKIE}=${token}; HttpOnly; SameSite=Strict; Path=/`,
      Location: url.pathname,
    });
    response.end();
    return;
  }
  if (!isSame(cookieOf(request), token)) {
    refuse(response, 403, 'The token is missing. Use the address that `fil-profile serve` has printed.');
    return;
  }
  if (url.pathname === '/') {
    send(response, 'text/html; charset=utf-8', "default-src 'none'; style-src 'unsafe-inline'", [
      listingPage(directory, reportsBelow(directory)),
    ]);
    return;
  }
  const file = openServedFile(directory, url.pathname);
  if (file === null) {
    refuse(response, 404, 'There is no such report.');
    return;
  }
  // A report may come from anywhere. In an origin of its own its scripts reach neither the other reports nor the cookie.
  send(
    response,
    file.type,
    "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    file.pieces(),
  );
}

/** In constant time: hashes are of one length. */
function isSame(given: string, token: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(token));
}

function cookieOf(request: IncomingMessage): string {
  const cookies = (request.headers.cookie ?? '').split(/;\s*/);
  return cookies.find((cookie) => cookie.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1) ?? '';
}

function commonHeaders(): Record<string, string> {
  return {
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'Cross-Origin-Resource-Policy': 'same-origin',
  };
}

function send(response: ServerResponse, type: string, policy: string, pieces: Iterable<string | Uint8Array>): void {
  response.writeHead(200, { ...commonHeaders(), 'Content-Type': type, 'Content-Security-Policy': policy });
  for (const piece of pieces) {
    response.write(piece);
  }
  response.end();
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  if (!response.headersSent) {
    response.writeHead(status, { ...commonHeaders(), 'Content-Type': 'text/plain; charset=utf-8' });
    response.write(`${reason}\n`);
  }
  response.end();
}
