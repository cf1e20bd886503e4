/**
 * The built files that stand beside the bundle, and the native addon among them: the one place that loads it.
 */
import { existsSync, openSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Native from '../../native/addon/index.js';
import { reasonOf, StartFailure } from './failure.js';

export type Addon = typeof Native;
export type {
  CellDisplay,
  ChildEvent,
  CodeKind,
  Counters,
  MemoryEvent,
  MemoryFigures,
  MemoryWatch,
  Forwarder,
  Segment,
  Snapshot,
  TreeMember,
  YoungProcess,
} from '../../native/addon/index.js';

const TRACKER = 'libfil_tracker.so';
const REINSTALL = 'Reinstall filprofiler, or run `npm run build` in a checkout.';

/** Path of a built file, beside the bundle that is running. */
export function bundled(name: string): string {
  return join(__dirname, name);
}

let loaded: Addon | null = null;

/**
 * The addon, loaded once.
 *
 * @throws {StartFailure} if it is missing or can't be loaded here.
 */
export function loadAddon(): Addon {
  if (loaded === null) {
    const path = bundled('filprofiler.node');
    if (!existsSync(path)) {
      throw new StartFailure(`Fil's native addon is missing: ${path} does not exist. ${REINSTALL}`);
    }
    try {
      loaded = createRequire(__filename)(path) as Addon;
    } catch (error) {
      throw new StartFailure(`Fil's native addon ${path} can't be loaded: ${reasonOf(error)}. ${REINSTALL}`);
    }
  }
  return loaded;
}

/**
 * Path by which the tracker can be preloaded. It is checked to be one that this addon can read and this machine can load: the dynamic
 * linker only warns about a library that it can't preload, and the program would run untracked.
 *
 * @param privateDirectory for a link, if Fil is installed in a path that LD_PRELOAD can't name: it separates by spaces and colons.
 *   Null if there is none: then the name is that of an open descriptor of this process.
 * @throws {StartFailure} saying what is wrong with it.
 */
export function preloadableTracker(addon: Addon, privateDirectory: string | null): string {
  const path = bundled(TRACKER);
  if (!existsSync(path)) {
    throw new StartFailure(`Fil's tracker is missing: ${path} does not exist. ${REINSTALL}`);
  }
  let preloadable = path;
  if (/[\s:]/.test(path)) {
    if (privateDirectory === null) {
      preloadable = `/proc/${process.pid}/fd/${openSync(path, 'r')}`;
    } else {
      preloadable = join(privateDirectory, TRACKER);
      symlinkSync(path, preloadable);
    }
  }
  const reason = addon.whyNotPreloadable(preloadable);
  if (reason !== null) {
    throw new StartFailure(`Fil's tracker ${path} can't be used: ${reason} ${REINSTALL}`);
  }
  return preloadable;
}
