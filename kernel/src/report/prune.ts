/**
 * Which nodes of a call tree a report shows. A reader sees nothing in frames thinner than a pixel, and a notebook has to store them.
 */
import { at } from '../../../schema/columns.js';
import type { CallTree } from './call-tree.js';

/** How much of a tree a report shows. */
export interface Limits {
  /** Nodes with less of the peak than this are left out. */
  readonly smallestShare: number;
  /** So many nodes at most, if the next promise can be kept with them. */
  readonly usualNodes: number;
  /** At least this share of the bytes is shown by name, with more nodes than usual where it takes them... */
  readonly leastShareByName: number;
  /** ... but never more than these. */
  readonly mostNodes: number;
}

/** For a notebook, which stores it, and for pictures: smaller nodes are under a pixel of a notebook's width. */
export const FOR_NOTEBOOKS: Limits = {
  smallestShare: 0.0005,
  usualNodes: 5_000,
  leastShareByName: 0.99,
  mostNodes: 20_000,
};

/** For a few lines of text: only what holds much. */
export const FOR_A_MESSAGE: Limits = {
  smallestShare: 0.01,
  usualNodes: 200,
  leastShareByName: 0.5,
  mostNodes: 1_000,
};

/** For the page in a file, where a reader zooms in as far as there is anything; the view draws so many without a wait. */
export const FOR_PAGES: Limits = {
  smallestShare: 0,
  usualNodes: 100_000,
  leastShareByName: 0.99,
  mostNodes: 100_000,
};

/** For programs to read: all that there is, as far as it can be read back. A JSON text of V8 ends at 512 MB. */
export const COMPLETE: Limits = {
  smallestShare: 0,
  usualNodes: 2_000_000,
  leastShareByName: 1,
  mostNodes: 2_000_000,
};

/** What to show of a tree. */
export interface Selection {
  /** 1 for the nodes to show. With a node, its callers are shown. */
  readonly isShown: Uint8Array;
  /** Nodes that are not shown. */
  readonly leftOut: number;
}

/**
 * Chooses the nodes to show: those with most bytes. Every shown node whose callees are not all shown costs one more node, "other",
 * which counts.
 *
 * @param totals bytes of each node and everything below it; where they are more than the tree's nodes have, the rest is in "other".
 */
export function chooseNodes(tree: CallTree, totals: Float64Array, limits: Limits): Selection {
  if (showsAll(tree, limits)) {
    return { isShown: new Uint8Array(tree.size).fill(1), leftOut: 0 };
  }
  const { smallestShare, usualNodes, leastShareByName, mostNodes } = limits;
  const peak = at(totals, 0);
  const order = largest(totals, mostNodes);
  const choice = new Prefix(tree, totals, order);
  const visible = order.findIndex((node) => at(totals, node) < peak * smallestShare);
  choice.resize(visible < 0 ? order.length : Math.max(1, visible));
  choice.shrinkTo(usualNodes);
  choice.growUntilNamed(peak * leastShareByName, mostNodes);
  return { isShown: choice.isShown, leftOut: tree.size - choice.size };
}

/** Whether nothing of a tree needs to be left out. */
export function showsAll(tree: CallTree, { smallestShare, usualNodes }: Limits): boolean {
  return smallestShare === 0 && tree.size <= usualNodes;
}

/**
 * The nodes with most bytes, most first; of equals the one that stands first, so that a parent always stands before its children
 * (it never has fewer bytes).
 */
function largest(totals: Float64Array, most: number): number[] {
  let least = 0;
  if (totals.length > most) {
    const sorted = Float64Array.from(totals).sort();
    least = at(sorted, sorted.length - most);
  }
  const above: number[] = [];
  const ties: number[] = [];
  for (let node = 0; node < totals.length; node++) {
    const bytes = at(totals, node);
    if (bytes > least) {
      above.push(node);
    } else if (bytes === least && ties.length < most) {
      ties.push(node);
    }
  }
  above.sort((a, b) => at(totals, b) - at(totals, a) || a - b);
  return above.concat(ties).slice(0, most);
}

/** The first nodes of an order in which parents stand before their children, with what showing them costs and gives. */
class Prefix {
  readonly isShown: Uint8Array;
  size = 0;
  /** Bytes that the shown nodes hold themselves. */
  #namedBytes = 0;
  /** Shown nodes some of whose callees are not. */
  #others = 0;
  /** Bytes of each shown node's callees that are not shown. */
  readonly #hiddenBytes: Float64Array;
  readonly #tree: CallTree;
  readonly #totals: Float64Array;
  readonly #order: readonly number[];

  constructor(tree: CallTree, totals: Float64Array, order: readonly number[]) {
    this.#tree = tree;
    this.#totals = totals;
    this.#order = order;
    this.isShown = new Uint8Array(tree.size);
    this.#hiddenBytes = new Float64Array(tree.size);
  }

  resize(size: number): void {
    while (this.size < size) {
      this.#push();
    }
    while (this.size > size) {
      this.#pop();
    }
  }

  /** Nodes that the report will have. */
  get cost(): number {
    return this.size + this.#others;
  }

  shrinkTo(most: number): void {
    while (this.cost > most && this.size > 1) {
      this.#pop();
    }
  }

  growUntilNamed(bytes: number, most: number): void {
    while (this.#namedBytes < bytes && this.size < this.#order.length) {
      this.#push();
      if (this.cost > most) {
        this.#pop();
        return;
      }
    }
  }

  #push(): void {
    const node = at(this.#order, this.size++);
    const self = at(this.#tree.selfBytes, node);
    this.isShown[node] = 1;
    this.#namedBytes += self;
    this.#hide(node, at(this.#totals, node) - self);
    if (node > 0) {
      this.#hide(at(this.#tree.parent, node), -at(this.#totals, node));
    }
  }

  #pop(): void {
    const node = at(this.#order, --this.size);
    this.isShown[node] = 0;
    this.#namedBytes -= at(this.#tree.selfBytes, node);
    this.#hide(node, -at(this.#hiddenBytes, node));
    if (node > 0) {
      this.#hide(at(this.#tree.parent, node), at(this.#totals, node));
    }
  }

  /** Adds to a node's hidden bytes and keeps count of the nodes that have any. */
  #hide(node: number, bytes: number): void {
    const before = at(this.#hiddenBytes, node);
    const after = before + bytes;
    this.#hiddenBytes[node] = after;
    this.#others += (after > 0 ? 1 : 0) - (before > 0 ? 1 : 0);
  }
}
