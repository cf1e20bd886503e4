/**
 * The native addon: makes the shared memory that a tracker writes into, and reads it back as columns. The only TypeScript view of
 * the segment; nothing outside the addon knows an offset.
 */

/** Version of the segment's layout; tracker and addon must agree, both compile the same header. */
export const layoutVersion: number;

/** Names of the environment variables by which a process is told about its segment. */
export const environmentNames: {
  /** Number of the inherited file descriptor of the segment. */
  readonly segmentDescriptor: string;
  /** Pid of the process to die with; the tracker asks the kernel for SIGKILL when it ends. */
  readonly parentPid: string;
};

/** The ledger's totals, cheap enough to poll. */
export interface Counters {
  /** `fresh`: no process has attached yet; `attached`: off; `tracking`: on. */
  readonly state: 'fresh' | 'attached' | 'tracking';
  /** How many times tracking was begun. */
  readonly session: number;
  readonly currentBytes: number;
  readonly peakBytes: number;
  readonly siteCount: number;
}

/** What made figures approximate, each once. */
export type Degradation = 'call-sites-full' | 'stacks-truncated' | 'allocator-replaced' | 'tracker-memory-exhausted';

/**
 * The call-site trie with its bytes. Site 0 is the root; `parent[i] < i` for every other site. `parent`, `code`, `line` and both byte
 * columns have one entry a site.
 */
export interface Snapshot extends Counters {
  readonly pid: number;
  /** `3.11.7`; empty until tracking was begun once. */
  readonly pythonVersion: string;
  readonly beganAtSeconds: number;
  /** Clock of `beganAtSeconds` (CLOCK_MONOTONIC); the moment of the snapshot while tracking is on. */
  readonly endedAtSeconds: number;
  readonly parent: Uint32Array;
  /** Index into the code columns; `noCode` for the root and for memory without a Python stack. */
  readonly code: Uint32Array;
  /** Line from 1; 0 where unknown. */
  readonly line: Int32Array;
  /** Bytes that the site itself held at the peak. */
  readonly peakSiteBytes: Float64Array;
  /** Bytes that the site itself holds at the moment of the snapshot (at the end of tracking, if it has ended). */
  readonly currentSiteBytes: Float64Array;
  /** Columns of code objects, one entry each. */
  readonly codes: {
    readonly filename: readonly string[];
    readonly qualifiedName: readonly string[];
    readonly firstLine: Int32Array;
  };
  readonly degradations: readonly Degradation[];
  /** False if the process changed the ledger faster than it could be read (live snapshots only): sums may be off by single events. */
  readonly consistent: boolean;
}

/** Value in `Snapshot.code` for "no code". */
export const noCode: number;

/** One process's shared memory. */
export class Segment {
  /** Makes a sealed-size, sparse memfd. Throws an Error with the system's reason if there is no memory for it. */
  constructor();
  /** Descriptor to pass to the child by `stdio`; close-on-exec in this process. */
  readonly descriptor: number;
  counters(): Counters;
  /**
   * Copies the ledger out. Safe at any moment: while the process runs, after it died.
   *
   * @throws {Error} if the segment is corrupt or of another layout, with the values that disagree.
   */
  snapshot(): Snapshot;
  /** Unmaps and closes. Other calls throw afterwards. */
  close(): void;
}

/**
 * Whether a file can be preloaded here: an ELF shared object for this machine with the segment layout of this addon.
 * Returns null if it can, else a sentence that says why not.
 */
export function whyNotPreloadable(path: string): string | null;
