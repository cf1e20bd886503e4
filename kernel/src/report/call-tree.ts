/**
 * The call tree in columns: a parent stands before its children, node 0 is the root.
 */
import { at } from '../../../schema/columns.js';
import { type FrameCatalog, NO_PYTHON_STACK_FRAME, ROOT_FRAME, SKIPPED_CALLERS_FRAME } from './frames.js';
import type { Snapshot } from './snapshot.js';

/** A tree of call stacks; all columns have `size` rows. */
export interface CallTree {
  readonly size: number;
  /** Smaller than the node itself; -1 for the root. */
  readonly parent: Int32Array;
  /** Numbers of the frame catalog. Siblings have different frames. */
  readonly frame: Int32Array;
  readonly selfBytes: Float64Array;
  /** What of it is estimated from samples; null if all was counted. */
  readonly sampledBytes: Float64Array | null;
}

/** Grows a call tree by call stacks, from the root down. */
class CallTreeBuilder {
  readonly #parent: Int32Array;
  readonly #frame: Int32Array;
  readonly #selfBytes: Float64Array;
  readonly #sampledBytes: Float64Array | null;
  /**
   * Nodes by parent and frame, with open addressing; 0, the root, which is nobody's child, where there is none. A Map of a million keys
   * takes several times as long.
   */
  readonly #table: Int32Array;
  readonly #mask: number;
  #size = 1;

  constructor(largestSize: number, isSampled: boolean) {
    this.#sampledBytes = isSampled ? new Float64Array(largestSize) : null;
    this.#parent = new Int32Array(largestSize);
    this.#frame = new Int32Array(largestSize);
    this.#selfBytes = new Float64Array(largestSize);
    const slots = 2 ** Math.ceil(Math.log2(2 * largestSize + 1));
    this.#table = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#parent[0] = -1;
    this.#frame[0] = ROOT_FRAME;
  }

  /** The child of a node with that frame, made if there is none. */
  child(parent: number, frame: number): number {
    // Odd multipliers spread consecutive numbers over the table (Knuth, The Art of Computer Programming 3, 6.4).
    let hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const known = this.#table[slot] ?? 0;
      if (known === 0) {
        const node = this.#size++;
        this.#parent[node] = parent;
        this.#frame[node] = frame;
        this.#table[slot] = node;
        return node;
      }
      if (this.#parent[known] === parent && this.#frame[known] === frame) {
        return known;
      }
    }
  }

  /** @param sampledBytes what of them is estimated. */
  add(node: number, bytes: number, sampledBytes: number): void {
    this.#selfBytes[node] = at(this.#selfBytes, node) + bytes;
    if (this.#sampledBytes !== null) {
      this.#sampledBytes[node] = at(this.#sampledBytes, node) + sampledBytes;
    }
  }

  tree(): CallTree {
    return {
      size: this.#size,
      parent: this.#parent.subarray(0, this.#size),
      frame: this.#frame.subarray(0, this.#size),
      selfBytes: this.#selfBytes.subarray(0, this.#size),
      sampledBytes: this.#sampledBytes?.subarray(0, this.#size) ?? null,
    };
  }
}

/** Bytes of every node and everything below it. Linear: children stand behind their parents. */
export function totalsOf(parent: Int32Array | Uint32Array, selfBytes: Float64Array): Float64Array {
  const totals = Float64Array.from(selfBytes);
  for (let node = totals.length - 1; node > 0; node--) {
    const above = at(parent, node);
    totals[above] = at(totals, above) + at(totals, node);
  }
  return totals;
}

/**
 * The call tree at the peak from the snapshot's call sites. Sites that held nothing, with everything below them, are left out; so are
 * frames of the machinery that held nothing themselves, whose callees move up to their callers.
 */
export function callTreeAtPeak(snapshot: Snapshot, frames: FrameCatalog): CallTree {
  const siteCount = snapshot.parent.length;
  // A live snapshot can be off by single events: no site holds less than nothing.
  const self = snapshot.peakSiteBytes.map((bytes) => Math.max(0, bytes));
  const totals = totalsOf(snapshot.parent, self);
  const nodeOfSite = new Int32Array(siteCount);
  const sampled = snapshot.sampling?.peakSiteBytes ?? null;
  const sampledAt = (site: number): number => (sampled === null ? 0 : Math.max(0, at(sampled, site)));
  const builder = new CallTreeBuilder(siteCount + 1, sampled !== null);
  if (siteCount > 0 && at(self, 0) > 0) {
    builder.add(builder.child(0, NO_PYTHON_STACK_FRAME), at(self, 0), sampledAt(0));
  }
  for (let site = 1; site < siteCount; site++) {
    if (at(totals, site) === 0) {
      continue;
    }
    const bytes = at(self, site);
    const code = at(snapshot.code, site);
    const caller = at(nodeOfSite, at(snapshot.parent, site));
    if (bytes === 0 && frames.isMachinery(code)) {
      nodeOfSite[site] = caller;
      continue;
    }
    const node = builder.child(caller, frames.ofSite(code, at(snapshot.line, site)));
    builder.add(node, bytes, sampledAt(site));
    nodeOfSite[site] = node;
  }
  return builder.tree();
}

/**
 * Of a deeper stack, so many outer and inner callers are kept. 400 levels are a picture of 9,000 pixels' height, more than anybody
 * reads; and drawing code may recurse.
 */
const OUTER_LEVELS = 300;
const INNER_LEVELS = 100;

/**
 * Leaves out the middle of stacks that are too deep to draw, so that both their ends are still seen: everything between the
 * outermost and the innermost levels becomes one frame "skipped callers". Lines in between that hold memory themselves stay, by
 * name, as its children.
 *
 * @returns the tree and how many of the given tree's nodes were left out.
 */
export function shortenStacks(tree: CallTree): { readonly tree: CallTree; readonly skipped: number } {
  const { size, parent } = tree;
  const depth = new Int32Array(size);
  let deepest = 0;
  for (let node = 1; node < size; node++) {
    const levels = at(depth, at(parent, node)) + 1;
    depth[node] = levels;
    deepest = Math.max(deepest, levels);
  }
  if (deepest <= OUTER_LEVELS + INNER_LEVELS) {
    return { tree, skipped: 0 };
  }
  const height = new Int32Array(size);
  for (let node = size - 1; node > 0; node--) {
    const above = at(parent, node);
    height[above] = Math.max(at(height, above), at(height, node) + 1);
  }
  const isSkipped = (node: number): boolean => at(depth, node) > OUTER_LEVELS && at(height, node) >= INNER_LEVELS;
  const { sampledBytes } = tree;
  const sampledAt = (node: number): number => (sampledBytes === null ? 0 : at(sampledBytes, node));
  const builder = new CallTreeBuilder(2 * size, sampledBytes !== null);
  const nodeOf = new Int32Array(size);
  let skipped = 0;
  for (let node = 1; node < size; node++) {
    const above = at(parent, node);
    const bytes = at(tree.selfBytes, node);
    if (!isSkipped(node)) {
      const kept = builder.child(at(nodeOf, above), at(tree.frame, node));
      builder.add(kept, bytes, sampledAt(node));
      nodeOf[node] = kept;
      continue;
    }
    skipped += 1;
    const gap = isSkipped(above) ? at(nodeOf, above) : builder.child(at(nodeOf, above), SKIPPED_CALLERS_FRAME);
    nodeOf[node] = gap;
    if (bytes > 0) {
      builder.add(builder.child(gap, at(tree.frame, node)), bytes, sampledAt(node));
    }
  }
  return { tree: builder.tree(), skipped };
}
