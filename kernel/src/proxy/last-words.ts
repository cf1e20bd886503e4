/** What to say about a kernel that died, in plain language. */
import { type OutOfMemoryCause, reasonInWords } from '../../../schema/out-of-memory.js';
import type { ReportOutcome } from '../../../schema/report.js';
import type { ExitStatus } from './child.js';

/** What the signals that end programs mean to somebody who never met one. */
const MEANINGS: Partial<Record<NodeJS.Signals, string>> = {
  SIGKILL: 'it was killed (SIGKILL). If you did not do that, the system did, most likely because memory ran out',
  SIGTERM: 'it was asked to end (SIGTERM)',
  SIGHUP: 'its terminal was closed (SIGHUP)',
  SIGINT: 'it was interrupted (SIGINT)',
  SIGSEGV: 'native code accessed memory that is not its own (SIGSEGV)',
  SIGBUS: 'native code accessed memory that is not there (SIGBUS)',
  SIGABRT: 'native code found an error and aborted (SIGABRT)',
  SIGFPE: 'native code divided by zero or the like (SIGFPE)',
  SIGILL: 'native code contains an instruction that this processor does not know (SIGILL)',
  SIGXCPU: 'it used more processor time than it may (SIGXCPU)',
};

/** One line about how the kernel died while a cell was running. */
export function lastWords(status: ExitStatus, profiled: boolean, outOfMemory?: OutOfMemoryCause): string {
  const how =
    outOfMemory !== undefined
      ? `memory ran out. ${reasonInWords(outOfMemory, null).replace(/\.$/, '')}`
      : status.kind === 'signalled'
        ? (MEANINGS[status.signal] ?? `it was ended by the signal ${status.signal}`)
        : `its process ended itself with exit status ${status.code}, without going through IPython`;
  const report = profiled ? ' What was in memory until then is in the report below.' : '';
  return `The kernel died while this cell was running: ${how}.${report}\n`;
}

/** The exit status of a shell for such a process, which we end with too. */
export function exitCodeOf(status: ExitStatus, signalNumbers: Readonly<Record<string, number>>): number {
  return status.kind === 'exited' ? status.code : 128 + (signalNumbers[status.signal] ?? 0);
}

/** The same for a report. */
export function outcomeOf(status: ExitStatus): ReportOutcome {
  return status.kind === 'exited'
    ? { kind: 'died', exitCode: status.code, signal: null }
    : { kind: 'died', exitCode: null, signal: status.signal };
}
