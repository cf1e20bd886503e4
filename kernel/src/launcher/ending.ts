/** How the program ended, and how a report and our own end tell of it. */
import { constants } from 'node:os';
import type { ReportOutcome } from '../../../schema/report.js';
import type { Addon, ChildEvent } from '../addon.js';

export type Ending = Exclude<ChildEvent, { kind: 'report-asked' }>;

/** The same for a report. An exit status of 0 is success, whatever happened before. */
export function outcomeOf(ending: Ending): ReportOutcome {
  switch (ending.kind) {
    case 'exited':
      return isSuccess(ending) ? { kind: 'completed' } : { kind: 'error' };
    case 'killed':
      return ending.value === constants.signals.SIGINT
        ? { kind: 'interrupted' }
        : { kind: 'died', exitCode: null, signal: signalName(ending.value) };
  }
}

export function isSuccess(ending: Ending): boolean {
  return ending.kind === 'exited' && ending.value === 0;
}

export function signalName(number: number): string {
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known?.[0] ?? `signal ${number}`;
}

/** Ends this process as the program ended. */
export function endLike(ending: Ending, addon: Addon): never {
  switch (ending.kind) {
    case 'exited':
      return addon.endWithStatus(ending.value);
    case 'killed':
      return addon.endBySignal(ending.value);
  }
}
