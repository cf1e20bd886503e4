/**
 * The kernel: between a Jupyter client and ipykernel, which runs in a process of its own with the tracker preloaded. It lives as long
 * as that process, speaks for it when it died, and leaves nothing behind.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { bundled, loadAddon, preloadableTracker } from '../addon.js';
import { reasonInWords } from '../../../schema/out-of-memory.js';
import { MemoryMatters, type MemorySettings } from '../memory-matters.js';
import { KeptState } from '../kept-state.js';
import { beLaterVictimThan } from '../oom-score.js';
import { reasonOf, StartFailure } from '../failure.js';
import { ProcessTree, type TreeSettings } from '../process-tree.js';
import { type Child, startChild } from './child.js';
import {
  type ConnectionFile,
  readConnectionFile,
  updateConnectionFile,
  writeChildConnectionFile,
} from './connection.js';
import { exitCodeOf, outcomeOf } from './last-words.js';
import { diesWithParent } from './parent.js';
import { choosePrivateDirectory, makePrivateDirectory, removePrivateDirectory } from './private-directory.js';
import { RunningCells } from './running-cells.js';
import { onSignal } from './signals.js';
import { startWatchdog } from './watchdog.js';
import { Signer } from './wire.js';

/** Beside the bundle's folder, in the Python package. */
const CHILD_PROGRAM = bundled('../child.py');

export interface KernelOptions {
  /** The client's connection file. */
  readonly connectionFile: string;
  /** The Python that has filprofiler and ipykernel. */
  readonly python: string;
  readonly memory: MemorySettings;
  readonly tree: TreeSettings;
  /** Directory below which the state of profiles is kept; null to keep it in memory only. */
  readonly keepState: string | null;
  /** More arguments for ipykernel. */
  readonly arguments: readonly string[];
}

/**
 * Serves a kernel until its process ends.
 *
 * @returns the exit status to end with: that of the process, 128 + n for signal n.
 * @throws {StartFailure} if it can't be started.
 */
export async function runKernel(options: KernelOptions): Promise<number> {
  const clientFile = resolve(options.connectionFile);
  const client = readConnectionFile(clientFile);
  const signer = signerOf(client, clientFile);
  const addon = loadAddon();
  const state = options.keepState === null ? null : new KeptState(addon, options.keepState, sayToLog);
  const segment = state?.segment ?? new addon.Segment();

  const privateDirectory = choosePrivateDirectory();
  const watchdog = startWatchdog(privateDirectory);
  try {
    makePrivateDirectory(privateDirectory);
  } catch (error) {
    // Whatever stands there is not ours to remove.
    watchdog.dismiss();
    throw error;
  }
  const tree = options.tree.children ? ProcessTree.make(addon) : null;
  let child: Child | null = null;
  // However we end, short of SIGKILL: nothing outlives the kernel.
  process.once('exit', () => {
    child?.signalGroup('SIGKILL');
    removePrivateDirectory(privateDirectory);
    state?.close();
    tree?.close();
    watchdog.dismiss();
  });

  const behind = writeChildConnectionFile(client, clientFile, privateDirectory);
  const control = { endpoint: `ipc://${join(privateDirectory, 'control')}`, key: randomBytes(32).toString('hex') };
  child = await startChild({
    python: options.python,
    // By its path: `-m` would look for the package in the notebook's directory first.
    args: [CHILD_PROGRAM, '-f', behind.path, ...options.arguments],
    addon,
    segment,
    tracker: preloadableTracker(addon, privateDirectory),
    control,
    clientConnectionFile: clientFile,
    treeDirectory: tree?.directory ?? null,
  });
  tree?.watch(child.pid);
  const { pid, signalGroup, exit } = child;
  watchdog.guard(pid);
  onSignal(signalGroup);
  diesWithParent();

  // Python is starting; meanwhile, what takes us time to load.
  const [
    { Channels },
    { ControlEndpoint },
    { Session },
    { LiveView },
    { lastMessages, toRunningCells },
    { SampledCells },
    { observeComm, sampledCellMessage },
    { VERSION },
    { IdleMemory },
  ] = await Promise.all([
    import('./channels.js'),
    import('../control.js'),
    import('../session.js'),
    import('./live-view.js'),
    import('./post-mortem.js'),
    import('../sampled-cells.js'),
    import('./sampled-comm.js'),
    import('../version.js'),
    import('./idle-memory.js'),
  ]);
  const cells = new RunningCells(signer);
  // It says what it has to say once the channels are open.
  let tell: (text: string) => void = () => undefined;
  beLaterVictimThan(pid);
  const matters = new MemoryMatters(segment, pid, { ...options.memory, guards: true }, (command, victim, cause) => {
    tell(
      `Out of memory: ${reasonInWords(cause, null)} It was process ${victim}, which this notebook has started: ${command}\n`,
    );
  });
  const sampled = new SampledCells({
    segment,
    pid,
    tell: (news, parentHeader) => {
      channels.publish(sampledCellMessage(signer, news, parentHeader));
    },
  });
  const session = new Session({
    segment,
    pid,
    version: VERSION,
    memory: matters,
    state,
    sampled,
    tree,
    exactTree: options.tree.exact,
  });
  const memory = new IdleMemory(addon);
  const channels = new Channels({
    client,
    child: behind.connection,
    signer,
    cells,
    onActivity: () => {
      memory.touch();
      sampled.follow(session.running !== null);
    },
    onComm: (frames) => {
      observeComm(frames, signer, sampled);
    },
  });
  const live = new LiveView({
    session,
    signer,
    display: channels,
    headerOf: (requestId) => cells.headerOf(requestId),
  });
  const bound = channels.bind();
  if (JSON.stringify(bound) !== JSON.stringify(client)) {
    updateConnectionFile(clientFile, bound);
  }
  const controlEndpoint = await ControlEndpoint.open(control.endpoint, control.key, async (request) => {
    if (request.type === 'end') {
      live.reporting();
    }
    try {
      return await session.handle(request);
    } finally {
      // Before the answer, after which the process displays the report.
      live.follow();
      memory.touch();
    }
  });
  channels.start();
  tell = (text) => {
    for (const message of toRunningCells(text, cells, signer)) {
      channels.publish(message);
    }
  };

  const status = await exit;
  signalGroup('SIGKILL');
  await channels.drain();
  const outOfMemory = await matters.causeOfDeath({
    exitCode: status.kind === 'exited' ? status.code : null,
    signalNumber: status.kind === 'signalled' ? constants.signals[status.signal] : null,
  });
  matters.stop();
  live.reporting();
  if (session.running === null && cells.first !== null) {
    await sampled.died(outcomeOf(status), cells.first, session);
  }
  await sampled.farewell();
  const messages = await lastMessages(status, session, cells, signer, outOfMemory);
  live.follow();
  for (const message of messages) {
    channels.publish(message);
  }
  controlEndpoint.close();
  channels.close();
  return exitCodeOf(status, constants.signals);
}

/** Where the server shows what its kernels say. */
function sayToLog(text: string): void {
  process.stderr.write(`Fil: ${text}\n`);
}

function signerOf(client: ConnectionFile, path: string): Signer {
  try {
    return new Signer(client.key, client.signature_scheme);
  } catch (error) {
    throw new StartFailure(
      `${path} asks for the signature scheme ${client.signature_scheme}, which is not to be had: ${reasonOf(error)}. ` +
        'Use hmac-sha256 (Session.signature_scheme in Jupyter).',
    );
  }
}
