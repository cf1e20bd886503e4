/**
 * Which process the kernel kills first when memory runs out: the profiled one, and not us, who can tell what happened. It chooses by
 * size, plus a thousandth of all memory for each point of oom_score_adj (proc(5)).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { memoryLimit } from './memory-limit.js';

/** What the kernel takes for our size: the runtime's files, which it has mapped, are part of it. */
const OWN_BYTES = 80e6;
const LEAST_ADVANTAGE = 300;
/** With 1000 we could not be killed at all. */
const MOST_ADVANTAGE = 900;
const LEAST = -1000;
const MOST = 1000;

/**
 * Makes us the later victim: by a lower score of ours, where we may lower it, so that the program is as likely to be killed as without
 * us; else by a higher one of the program, which it hands on to what it starts.
 */
export function beLaterVictimThan(pid: number): void {
  const advantage = advantageIn(memoryLimit().bytes);
  try {
    const own = scoreOf('self');
    setScore('self', Math.max(LEAST, own - advantage));
    return;
  } catch {
    // It takes a privilege.
  }
  try {
    setScore(String(pid), Math.min(MOST, scoreOf(String(pid)) + advantage));
  } catch {
    // It has ended, or /proc is not to be written: then we are just the smaller one.
  }
}

/** Points of oom_score_adj that are worth our own size where so many bytes are all there is. */
export function advantageIn(limitBytes: number): number {
  return Math.min(MOST_ADVANTAGE, Math.max(LEAST_ADVANTAGE, Math.round((1000 * OWN_BYTES) / limitBytes)));
}

function scoreOf(process: string): number {
  return Number(readFileSync(`/proc/${process}/oom_score_adj`, 'utf8'));
}

function setScore(process: string, score: number): void {
  writeFileSync(`/proc/${process}/oom_score_adj`, String(score));
}
