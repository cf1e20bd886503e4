/**
 * Which process the kernel kills first when memory runs out: the profiled one, and not us, who can tell what happened. It chooses by
 * size, plus a thousandth of all memory for each point of oom_score_adj (proc(5)).
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** In a container of 200 MB, 60 MB: about what we weigh. */
const ADVANTAGE = 300;
const LEAST = -1000;
const MOST = 1000;

/**
 * Makes us the later victim: by a lower score of ours, where we may lower it, so that the program is as likely to be killed as without
 * us; else by a higher one of the program, which it hands on to what it starts.
 */
export function beLaterVictimThan(pid: number): void {
  try {
    const own = scoreOf('self');
    setScore('self', Math.max(LEAST, own - ADVANTAGE));
    return;
  } catch {
    // It takes a privilege.
  }
  try {
    setScore(String(pid), Math.min(MOST, scoreOf(String(pid)) + ADVANTAGE));
  } catch {
    // It has ended, or /proc is not to be written: then we are just the smaller one.
  }
}

function scoreOf(process: string): number {
  return Number(readFileSync(`/proc/${process}/oom_score_adj`, 'utf8'));
}

function setScore(process: string, score: number): void {
  writeFileSync(`/proc/${process}/oom_score_adj`, String(score));
}
