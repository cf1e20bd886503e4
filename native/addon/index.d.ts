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
  /** Set to the directory of a {@link ProcessTree}, of which the process is to be the top. */
  readonly treeDirectory: string;
  /** Set to anything: tracking begins by itself when Python is about to run the program's code. */
  readonly trackProgram: string;
  /** Set to anything: sampled sessions are to be expected. */
  readonly sampling: string;
  /** A number from which all samples follow. */
  readonly samplingSeed: string;
  /** Address of the control endpoint, and the key of its messages. */
  readonly controlEndpoint: string;
  readonly controlKey: string;
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
  /** Whether Python executes code of the program, where that is tracked from its start; before, it is looked for and compiled. */
  readonly programBegan: boolean;
  /** The program ended by a MemoryError that nobody caught, or one with such a cause; told of whole programs only. */
  readonly uncaughtMemoryError: boolean;
}

/** Those of a process that runs. */
export interface LiveCounters extends Counters {
  /** Of the current bytes: shared memory that other processes of its tree can have mapped too. */
  readonly sharedBytes: number;
}

/** What made figures approximate, each once. */
export type Degradation =
  | 'call-sites-full'
  | 'stacks-truncated'
  | 'allocator-replaced'
  | 'tracker-memory-exhausted'
  | 'stacks-missing'
  | 'recursion-folded'
  | 'small-objects-missing';

/** The last allocation that failed. */
export interface Failure {
  /** How many have failed. */
  readonly count: number;
  /** What it asked for. */
  readonly bytes: number;
  /** Where: a row of the site columns. */
  readonly site: number;
  /** The thread's id in the kernel. */
  readonly thread: number;
  /** Clock of `beganAtSeconds`. */
  readonly atSeconds: number;
  /** Whether the guard refused it before memory ran out. */
  readonly refused: boolean;
}

/** Columns of code objects, one entry each. */
export interface Codes {
  readonly filename: readonly string[];
  readonly qualifiedName: readonly string[];
  readonly firstLine: Int32Array;
  readonly kind: readonly CodeKind[];
}

/** Columns of lines, one entry each. */
export interface PeakLines {
  /** Index into the code columns; `noCode` for memory without a Python stack. */
  readonly code: Uint32Array;
  /** Line from 1; 0 where unknown. */
  readonly line: Int32Array;
  readonly bytes: Float64Array;
}

/**
 * What a row of the code columns stands for. Of a mapping the file name is the file's path, or the shared memory's name (empty if it
 * has none), the qualified name is empty, and its sites' line is 0: they stand below the line that mapped it.
 */
export type CodeKind = 'python' | 'mapped-file' | 'shared-memory';

/**
 * The call-site trie with its bytes. Site 0 is the root; `parent[i] < i` for every other site. `parent`, `code`, `line` and both byte
 * columns have one entry a site.
 */
/** How the figures of a snapshot were estimated. */
export interface Sampling {
  /** One allocated byte in so many was sampled, on average. */
  readonly meanBytes: number;
  /** Blocks of this size and more, and mappings, were counted each. */
  readonly exactFromBytes: number;
  /** What of `Snapshot.peakSiteBytes` is estimated from samples. */
  readonly peakSiteBytes: Float64Array;
  /** What of the sum of `Snapshot.currentSiteBytes` was counted, and not estimated. */
  readonly currentExactBytes: number;
}

export interface Snapshot extends Counters {
  readonly pid: number;
  /** `3.11.7`; empty until tracking was begun once. */
  readonly pythonVersion: string;
  readonly beganAtSeconds: number;
  /**
   * Clock of `beganAtSeconds` (CLOCK_MONOTONIC); the moment of the snapshot while tracking is on. Of a file that a process left: when it was
   * looked at last, or `beganAtSeconds` if it never was.
   */
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
  /** Bytes that the site itself held when an allocation last failed; empty if none has. */
  readonly failureSiteBytes: Float64Array;
  /** Bytes that the site itself held at the peak of all processes of the tree together; empty without a tree. */
  readonly jointSiteBytes: Float64Array;
  /** The last allocation that failed; null if none has. */
  readonly failure: Failure | null;
  /** Of a sampled session; null if every allocation was counted. */
  readonly sampling: Sampling | null;
  readonly codes: Codes;
  readonly degradations: readonly Degradation[];
  /** Resident memory of the tracker's own tables at the end of tracking; 0 if it was not measured, as for peaks below 1 MiB. */
  readonly ownBytes: number;
  /** The most that was mapped and not touched, so that it took no memory and did not count. */
  readonly mostUntouchedBytes: number;
  /** False if the process changed the ledger faster than it could be read (live snapshots only): sums may be off by single events. */
  readonly consistent: boolean;
}

/** Value in `Snapshot.code` for "no code". */
export const noCode: number;

/** Why something is done about memory. `available`: less is left than the headroom. */
export type MemoryRule = 'available' | 'swap' | 'pressure' | 'budget';

/** Figures of the place that has least memory left. */
export interface MemoryFigures {
  readonly rule: MemoryRule;
  /** Whose memory it is: the machine's, a control group's, or what the user allows the processes. */
  readonly level: 'host' | 'cgroup' | 'chosen';
  /** Directory of the control group; null for others. */
  readonly group: string | null;
  /** Null where nothing could be read. */
  readonly limitBytes: number | null;
  /** Can be below 0. Null where nothing could be read. */
  readonly availableBytes: number | null;
  /** What has to be left. */
  readonly headroomBytes: number;
  /** What the tracker counts now. */
  readonly trackedBytes: number;
  /** Of all processes of the tree; pages that they share count for each. */
  readonly residentBytes: number;
  readonly swappedBytes: number;
}

export interface MemoryEvent {
  readonly kind: 'interrupt-requested' | 'killed-program' | 'killed-subprocess' | 'not-the-cause';
  readonly figures: MemoryFigures;
  /** The number of the cell, or the pid that was killed. */
  readonly subject: number;
  /** Of a subprocess that was killed, its command; empty for others. */
  readonly command: string;
}

export interface WatchOptions {
  /** The process at the top of the tree to watch. */
  readonly pid: number;
  /** Prefix of /proc and the control groups, for recorded trees. */
  readonly root?: string;
  /** What has to be left; 0 for 100 MB or 2 % of the limit, at most a tenth of it, at least 30 MB. */
  readonly headroomBytes: number;
  /** What the processes may hold together; 0 for what there is. */
  readonly limitBytes: number;
  /** Whether anything is done, but for budgets, or only read. */
  readonly acts: boolean;
  /** Whether running cells are interrupted before anything is killed. */
  readonly guards: boolean;
}

/** A thread that watches how much memory a process tree can still take, and acts before the system does. */
export interface MemoryWatch {
  /** The last reading. */
  figures(): MemoryFigures;
  /** How often the system's out-of-memory killer has struck here in about the last second. */
  freshOomKills(): number;
  /** How often the thread has looked. */
  wakeUps(): number;
  /** Changes what has to be left (0 for the rule), and whether anything is done; budgets are not concerned. */
  setAction(headroomBytes: number, acts: boolean): void;
  /** Ends it. Other calls throw afterwards. */
  stop(): void;
}

/**
 * One reading, without a watch.
 *
 * @param root prefix of /proc and the control groups, for recorded trees.
 */
export function readMemory(pid: number, root?: string): MemoryFigures;

/** One process's shared memory. */
export class Segment {
  /**
   * Makes a sealed-size, sparse memfd. Throws an Error with the system's reason if there is no memory for it.
   *
   * @param place either the descriptor of an empty memfd that allows sealing, made by another program, to be used instead and ours
   *   then; or the path of a file to make, which is still there when everybody has died. It counts as in use until then.
   * @param existing reads the file that a process left: changes of it are not seen.
   * @throws {Error} if the file can't be made or read, with the system's reason; or with a sentence, if it is no segment of this
   *   version, is cut off, or is in use.
   */
  constructor(place?: number | string, existing?: boolean);
  /** Descriptor to pass to the child by `stdio`; close-on-exec in this process. */
  readonly descriptor: number;
  counters(): LiveCounters;
  /**
   * Copies the ledger out. Safe at any moment: while the process runs, after it died.
   *
   * @param jointPeakBytes the peak of the tree that the process is the top of (`ProcessTree.joint()`).
   * @throws {Error} if the segment is corrupt or of another layout, with the values that disagree.
   */
  snapshot(jointPeakBytes?: number): Snapshot;
  /** What the running cell may hold; null for no budget. Allocations that would exceed it are refused while a watch guards. */
  setBudget(bytes: number | null): void;
  /** Starts a thread that watches the process's memory; see {@link MemoryWatch}. */
  watchMemory(options: WatchOptions, onEvent: (event: MemoryEvent) => void): MemoryWatch;
  /** What the recorder of a sampled job has noted: bytes held, in equal distances from the beginning. Empty of others. */
  points(): { readonly secondsApart: number; readonly bytes: Float64Array };
  /** Names of code objects from a row on; rows never change within a session. */
  codes(from: number): Codes;
  /**
   * What lines held at the peak, most bytes first: all memory is charged to the innermost line of own code on its stack, and to the
   * innermost line at all where there is none. One pass that copies nothing, some milliseconds for 10^6 sites; sums can be off by what
   * happens meanwhile.
   *
   * @param isOwn for each code 1 if it is the user's own; codes beyond its end are not.
   * @param most how many lines at most.
   * @throws {Error} if the segment is corrupt.
   */
  peakLines(isOwn: Uint8Array, most: number): PeakLines;
  /** What a watch, of whatever process, has last read; null if there was none. */
  lastReading(): MemoryFigures | null;
  /** Unmaps and closes. Other calls throw afterwards. */
  close(): void;
}

/** A process of a tree, other than the one at its top. */
export interface TreeMember {
  readonly pid: number;
  readonly parentPid: number;
  /** Forked from a tracked process; else it is a program that one has executed. */
  readonly isForked: boolean;
  /** A Python, of which call stacks are known. */
  readonly hasStacks: boolean;
  /** The arguments, separated by 0; any bytes. */
  readonly command: Buffer;
  /** CLOCK_MONOTONIC. */
  readonly joinedAtSeconds: number;
  /** Null while it is there. */
  readonly leftAtSeconds: number | null;
  /** Of the top process's sessions, the last that it took part in. */
  readonly session: number;
  readonly currentBytes: number;
  readonly peakBytes: number;
  /** Of the current bytes: shared memory that others can have mapped too. */
  readonly sharedBytes: number;
}

/** A process that was just forked and has no segment yet; most end before they need one. */
export interface YoungProcess {
  /** For `forgetYoung`. */
  readonly place: number;
  readonly pid: number;
  /** Of the top process's sessions, the one that it takes part in. */
  readonly session: number;
  /** CLOCK_MONOTONIC. */
  readonly joinedAtSeconds: number;
  /** Null while it is there. */
  readonly leftAtSeconds: number | null;
  /** 0 while it is there. */
  readonly peakBytes: number;
}

/** What the processes of a tree hold together. */
export interface Joint {
  /** Whether a session is on that processes can join. */
  readonly isOpen: boolean;
  readonly currentBytes: number;
  readonly peakBytes: number;
  /** Of the current bytes: shared memory that has a name, which counts once however many have it mapped. */
  readonly sharedBytes: number;
  /** Half of what a process can have claimed in advance; 0 in exact trees. */
  readonly creditBytes: number;
  /** How many processes could not join in this session, for want of room; and the latest of them. */
  readonly refusedMembers: number;
  readonly refusedPids: readonly number[];
  /** How many have joined. */
  readonly lastMember: number;
}

/** The processes that a tracked one starts: they join by a directory, in which each leaves a segment `process.N`. */
export class ProcessTree {
  /**
   * Makes the directory, and the control file in it. If this process is killed, at whatever moment, it is removed.
   *
   * @param directory is not there yet; it is made for this user only. Its name goes to the top process by `environmentNames.treeDirectory`.
   * @param exact whether every event is claimed from the joint bytes, and not 64 KiB at a time.
   * @throws {Error} with the system's reason.
   */
  constructor(directory: string, exact: boolean);
  joint(): Joint;
  /**
   * Opens a member's segment; returns its number here.
   *
   * @throws {Error} if it is none, or not complete yet.
   */
  adopt(path: string): number;
  member(number: number): TreeMember;
  /** The member's columns, with `jointSiteBytes`. */
  snapshot(number: number): Snapshot;
  /** Whether a member that has ended held anything at the joint peak. */
  heldAtJointPeak(number: number): boolean;
  /** To be called once for a member that died without having left: what it held is no part of the sum any more. */
  reap(number: number): void;
  /** Those that are too young for a segment, and those that have ended so and were not forgotten. */
  young(): readonly YoungProcess[];
  /** One that has ended: its place is another's from now on. */
  forgetYoung(place: number): void;
  /** Unmaps a member's segment. */
  forget(number: number): void;
  /** Whether every event is claimed from the joint bytes, in sessions that begin from now on. */
  setExact(exact: boolean): void;
  /** A session of members alone begins, without a process at the top; returns its number. */
  begin(): number;
  /** It has ended: nothing of the members counts any more. */
  end(): void;
  /**
   * Whatever outlives the top process goes on uncounted. The directory is the caller's to remove, before.
   *
   * @param removed whether it is; if not, it is removed after this process has ended.
   */
  stop(removed: boolean): void;
}

/**
 * Whether the file of a segment belongs to a process that lives.
 *
 * @throws {Error} if that can't be known: it can't be opened, or its file system has no locks.
 */
export function isInUse(path: string): boolean;

/**
 * Whether a file can be preloaded here: an ELF shared object for this machine with the segment layout of this addon.
 * Returns null if it can, else a sentence that says why not.
 */
export function whyNotPreloadable(path: string): string | null;

/** What became of a supervised child, or what was asked about it. */
export type ChildEvent =
  /** It ended itself, with the exit status `value`. */
  | { readonly kind: 'exited'; readonly value: number }
  /** It was ended by the signal of number `value`. */
  | { readonly kind: 'killed'; readonly value: number }
  /** Somebody sent SIGUSR2: a report is wanted, now. */
  | { readonly kind: 'report-asked' };

/**
 * Stands in for a child of this process, in its process group, towards whoever started it: passes on the signals that processes send
 * to it (those of the terminal reach both), stops when the child is stopped, and tells how it ended. Once in a process. Takes over
 * nearly all signals: handlers that Node has are without effect from then on.
 *
 * @param pid a child of this process that Node did not start, not waited for.
 * @param takesReportSignal SIGUSR2 is a request for a report; the child, whose tracker passes it on, gets it only for its own handler.
 * @param onEvent `exited` or `killed` is the last.
 */
export function superviseChild(pid: number, takesReportSignal: boolean, onEvent: (event: ChildEvent) => void): void;

/** Ends this process at once, without setting the terminal back to what it was at the start, as Node does. */
export function endWithStatus(status: number): never;

/** Ends this process at once by a signal of that number, without a core file; with status 128 + n if that signal isn't deadly. */
export function endBySignal(signal: number): never;

/**
 * Gives back memory that this process can do without: free memory of the heap, and pages of program files, which come back from the page
 * cache when they are needed.
 */
export function releaseResident(): void;

/** A kernel's channels, by their names in connection files. */
export type ChannelName = 'shell' | 'control' | 'stdin' | 'iopub' | 'hb';

export interface ForwarderOptions {
  /** Path of zeromq's addon, which contains libzmq. */
  readonly library: string;
  /** Z85 text of the keys by which clients encrypt; both or none. */
  readonly curvePublicKey?: string | undefined;
  readonly curveSecretKey?: string | undefined;
  /** Identity of all our sockets at the process, so that its questions on stdin find the way that its cells came from. */
  readonly routingId: string;
  /** How long the last messages may take to reach clients. */
  readonly lingerMilliseconds: number;
  /** How often the process's sockets are looked for while it starts. */
  readonly reconnectMilliseconds: number;
  /** Ends of the topics of the process's publications that are to be observed. */
  readonly observedTopics: readonly string[];
  /** Id of the comm of which requests are observed, and told of at once. */
  readonly observedComm: string;
}

/**
 * A copy of a message that passed, up to its buffers. `request`: an execute_request on the shell channel, or a message that may be of the
 * observed comm, not verified; `publication`: one of an observed topic; `subscription`: a client's to iopub, one frame with a 1 before its topic.
 */
export interface Observation {
  readonly kind: 'request' | 'publication' | 'subscription';
  readonly frames: Buffer[];
}

/** How long a display waits. */
export interface CellDisplayTimes {
  /** After it made room for an output. */
  readonly afterOutputMilliseconds: number;
  /** After the cell cleared its output. */
  readonly afterClearMilliseconds: number;
}

/** A display of ours as messages on iopub. */
export interface CellDisplay {
  /** From 1, another for each. */
  readonly serial: number;
  readonly display: readonly Buffer[];
  /** Empties the cell when something else comes. */
  readonly clearing: readonly Buffer[];
  /** Makes the display empty. */
  readonly emptying: readonly Buffer[];
}

/**
 * Carries messages between clients and the process behind, verbatim, on a thread of its own: JavaScript is not in their way. Answers
 * heartbeats itself. Requests wait until the process's publications are heard.
 */
export class Forwarder {
  /**
   * @param wake called soon after something was observed (at once after a subscription); `take` it then.
   * @throws {Error} if ZeroMQ can't be had.
   */
  constructor(options: ForwarderOptions, wake: () => void);
  /**
   * Opens a channel to clients.
   *
   * @returns the address, with the port that the system chose for `*`.
   * @throws {Error} with the system's reason.
   */
  bind(channel: ChannelName, endpoint: string): string;
  /** Connects to the process and forwards until `close`. */
  start(endpoints: Readonly<Record<Exclude<ChannelName, 'hb'>, string>>): void;
  /** Publishes a message of our own on iopub, after what was published before. */
  publish(frames: readonly Buffer[]): void;
  /**
   * Follows the output of one request's cell from now on, for a display of ours in it. It makes room for the cell's first output and
   * may then be shown again below; it is not put into lines of text that are not ended, into what Output widgets catch, or where
   * the cell itself clears its output.
   */
  followCell(requestId: string, times: CellDisplayTimes): void;
  /** Shows a display in the followed cell, after what was published before, unless it shows one or it can't be now. */
  showInCell(display: CellDisplay): void;
  /** Publishes a message, if the followed cell still shows the display of that serial. */
  updateInCell(serial: number, frames: readonly Buffer[]): void;
  /** Takes the display away, without a trace where it is the cell's only output, and follows no cell any more. */
  leaveCell(): void;
  /** Serial of the display that the followed cell shows; 0 if it shows none. */
  readonly shownInCell: number;
  /** What was observed since the last call, oldest first. */
  take(): Observation[];
  /** How long nothing has come from the process. */
  readonly quietMilliseconds: number;
  /** Closes everything; waits until clients have what was sent, at most for the linger time. Other calls throw afterwards. */
  close(): void;
}

/**
 * Whether a library can be preloaded into a program: not if it is linked statically, or for another machine. Returns null if it can or
 * it is a script, else a sentence that says why not.
 */
export function whyNotPreloadedInto(program: string): string | null;
