/**
 * Cleans up after a proxy that was killed: a shell in a session of its own that reads a pipe from us. If the pipe ends without a word,
 * it kills the child's process group and removes the private directory. (The tracker makes the child die with us too, but what the
 * user's code started would live on.)
 */
import { spawn } from 'node:child_process';
import { reasonOf, StartFailure } from '../failure.js';

const SCRIPT = `
group=
while read -r word; do
  case $word in
    done) exit 0 ;;
    *) group=$word ;;
  esac
done
[ -n "$group" ] && kill -s KILL -- "-$group" 2>/dev/null
# A child that is dying may still have put a socket into it.
for attempt in 1 2 3 4 5; do
  rm -rf -- "$1" && exit 0
  sleep 0.2
done
`;

export interface Watchdog {
  /** Names the process group to kill with us. */
  guard(processGroup: number): void;
  /** Everything was cleaned up. */
  dismiss(): void;
}

/** Starts it. Without a shell on the system, the kernel ends with an explanation. */
export function startWatchdog(directory: string): Watchdog {
  // In a session of its own, or the interrupt that a client sends to our process group would end it.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'fil-watchdog', directory], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: '/usr/bin:/bin' },
  });
  shell.on('error', (error) => {
    throw new StartFailure(
      `Fil can't start /bin/sh, which cleans up after a killed kernel: ${reasonOf(error)}. Install one.`,
    );
  });
  // Written to after the shell has gone (somebody killed it): nothing depends on the write.
  shell.stdin.on('error', () => undefined);
  shell.unref();
  return {
    guard: (processGroup) => shell.stdin.write(`${processGroup}\n`),
    dismiss: () => shell.stdin.end('done\n'),
  };
}
