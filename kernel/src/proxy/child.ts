/** The user's process: ipykernel with the tracker preloaded, in a session of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Addon, Segment } from '../addon.js';
import { reasonOf, StartFailure } from '../failure.js';

/** What the process was told, and by which names; filprofiler takes them out of its environment again. */
export interface ChildOptions {
  readonly python: string;
  /** Arguments for Python. */
  readonly args: readonly string[];
  readonly addon: Addon;
  readonly segment: Segment;
  /** Path of the library to preload. */
  readonly tracker: string;
  readonly control: { readonly endpoint: string; readonly key: string };
  /** Absolute path of the connection file that clients know. */
  readonly clientConnectionFile: string;
  /** Of the tree of processes that it starts; null if they are not tracked. */
  readonly treeDirectory: string | null;
}

/** How a process ended: by an exit status or by a signal. */
export type ExitStatus =
  { readonly kind: 'exited'; readonly code: number } | { readonly kind: 'signalled'; readonly signal: NodeJS.Signals };

export interface Child {
  readonly pid: number;
  readonly exit: Promise<ExitStatus>;
  /** Sends a signal to the process and all that it started, as a terminal would. */
  readonly signalGroup: (signal: NodeJS.Signals) => void;
}

/** The descriptor number under which the child inherits its segment. */
const SEGMENT_DESCRIPTOR = 3;

/**
 * Starts the process. To be called from Node's main thread: the tracker makes the process die with the thread that started it.
 *
 * @throws {StartFailure} if Python can't be started.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const problem = options.addon.whyNotPreloadedInto(options.python);
  if (problem !== null) {
    throw new StartFailure(problem);
  }
  const child = spawn(options.python, options.args, {
    // A session of its own: an interrupt sent to our group must not reach it beside the one that we forward.
    detached: true,
    stdio: ['inherit', 'inherit', 'inherit', options.segment.descriptor],
    env: environmentOf(options),
  });
  const exit = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal === null ? { kind: 'exited', code: code ?? 1 } : { kind: 'signalled', signal });
    });
  });
  const pid = await pidOf(child, options.python);
  return {
    pid,
    exit,
    signalGroup: (signal) => {
      try {
        process.kill(-pid, signal);
      } catch {
        // Nobody of the group is left.
      }
    },
  };
}

function pidOf(child: ChildProcess, python: string): Promise<number> {
  if (child.pid !== undefined) {
    return Promise.resolve(child.pid);
  }
  return new Promise((_resolve, reject) => {
    child.once('error', (error) => {
      reject(
        new StartFailure(`Python can't be started: ${reasonOf(error)}. Check the kernel's argv (--python ${python}).`),
      );
    });
  });
}

function environmentOf(options: ChildOptions): NodeJS.ProcessEnv {
  const { addon, control, tracker } = options;
  const { FIL_NODE_OPTIONS: nodeOptions, ...env } = process.env;
  return {
    ...env,
    // filprofiler.kernel hid the user's from our Node; it is meant for what the user starts.
    ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
    LD_PRELOAD: env['LD_PRELOAD'] ? `${tracker}:${env['LD_PRELOAD']}` : tracker,
    [addon.environmentNames.segmentDescriptor]: String(SEGMENT_DESCRIPTOR),
    // A front end may ask for it at any time; until then it is an address.
    [addon.environmentNames.sampling]: '1',
    [addon.environmentNames.parentPid]: String(process.pid),
    JPY_PARENT_PID: String(process.pid),
    [addon.environmentNames.controlEndpoint]: control.endpoint,
    [addon.environmentNames.controlKey]: control.key,
    ...(options.treeDirectory === null ? {} : { [addon.environmentNames.treeDirectory]: options.treeDirectory }),
    FIL_CLIENT_CONNECTION_FILE: options.clientConnectionFile,
  };
}
