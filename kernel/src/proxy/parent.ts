/** The kernel ends when the program that started it has gone: nobody would ever end it. */

const POLL_MS = 1000;
/** What ipykernel ends with then. */
const EXIT_CODE = 1;

/**
 * Polls for it, if the client said by JPY_PARENT_PID that it wants that. As in ipykernel: if another process started us than the
 * client (a wrapper script), only having been left to init counts, and a client that is init itself never goes.
 */
export function diesWithParent(): void {
  const client = Number(process.env['JPY_PARENT_PID'] ?? 0);
  if (!Number.isSafeInteger(client) || client <= 1) {
    return;
  }
  const isDirect = process.ppid === client;
  setInterval(() => {
    if (isDirect ? process.ppid !== client : process.ppid === 1) {
      process.stderr.write(`Fil: the kernel ends because the process ${client} that started it has gone.\n`);
      process.exit(EXIT_CODE);
    }
  }, POLL_MS).unref();
}
