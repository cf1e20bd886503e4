/**
 * The resident memory of a profiled process: before, at most, and now, to be compared with what was tracked.
 */
import { readFileSync } from 'node:fs';
import type { Report } from '../../schema/report.js';

/** What /proc/PID/status says; null where the system doesn't tell. */
interface Status {
  readonly residentBytes: number;
  /** The most that was ever resident. */
  readonly highWaterBytes: number;
}

/** Watches a process's resident memory from now on. */
export class ResidentMemory {
  /** When watching began. */
  readonly beforeBytes: number | null;
  readonly #read: () => Status | null;
  readonly #before: Status | null;
  #sampledBytes = 0;

  /** @param pid of the process. */
  constructor(pid: number, read: (pid: number) => Status | null = readStatus) {
    this.#read = () => read(pid);
    this.#before = this.#read();
    this.beforeBytes = this.#before?.residentBytes ?? null;
  }

  /** To be called now and then. */
  sample(): void {
    this.#sampledBytes = Math.max(this.#sampledBytes, this.#read()?.residentBytes ?? 0);
  }

  /**
   * The figures for a report. The kernel's high-water mark is exact, but of the process's whole life (resetting it would change what the
   * program sees of itself): where it has not risen since, the largest sample stands for the peak.
   *
   * @param ownBytes what of it the profiler itself has taken; 0 if that is not known.
   */
  soFar(ownBytes = 0): Report['resident'] {
    const now = this.#read();
    if (this.#before === null || (now === null && this.#sampledBytes === 0)) {
      return null;
    }
    const sampled = Math.max(this.#sampledBytes, now?.residentBytes ?? 0);
    const isExact = now !== null && now.highWaterBytes > this.#before.highWaterBytes;
    return {
      peakBytes: isExact ? Math.max(now.highWaterBytes, sampled) : sampled,
      isExact,
      endBytes: now?.residentBytes ?? null,
      ...(ownBytes === 0 ? {} : { ownBytes }),
    };
  }
}

/** Of a process's whole life; null if it has ended. */
export function residentOf(pid: number): Report['resident'] {
  const now = readStatus(pid);
  return now === null ? null : { peakBytes: now.highWaterBytes, isExact: true, endBytes: now.residentBytes };
}

/** Not `statm`, which needs the size of a page. */
function readStatus(pid: number): Status | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const residentBytes = kibibytes(text, 'VmRSS');
    const highWaterBytes = kibibytes(text, 'VmHWM');
    return residentBytes === null ? null : { residentBytes, highWaterBytes: highWaterBytes ?? 0 };
  } catch {
    return null;
  }
}

function kibibytes(text: string, name: string): number | null {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
  return match === null ? null : Number(match[1]) * 1024;
}
