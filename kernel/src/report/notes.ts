/**
 * What a reader has to know to read the figures right.
 */
import { noteText } from '../../../schema/notes.js';
import type { ReportNote, ReportOutcome } from '../../../schema/report.js';
import type { Snapshot } from './snapshot.js';

/** The notes of a report, in the order in which they are to be read. */
export function notesOf(snapshot: Snapshot, outcome: ReportOutcome): ReportNote[] {
  const sampling = snapshot.sampling ?? undefined;
  const codes: ReportNote['code'][] = [
    ...(outcome.kind === 'died' ? (['process-died'] as const) : []),
    ...(sampling === undefined ? [] : (['sampled'] as const)),
    ...(snapshot.consistent ? [] : (['live-snapshot'] as const)),
    ...new Set(snapshot.degradations),
  ];
  return codes.map((code) => ({ code, text: noteText(code, { outcome, sampling }) }));
}
