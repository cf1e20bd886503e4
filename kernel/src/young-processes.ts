/**
 * Processes that were just forked and have no segment yet (native/shared/tree.hpp, Young): most end so, and of those only the number and
 * the most that one held are told.
 */
import type { Addon, TreeMember, YoungProcess } from './addon.js';
import { commandOf, inheritedCopies, isGone, parentOf } from './process-table.js';

/** A process that is only counted. It could hold as much unseen as every other could. */
export type SmallProcess = Pick<TreeMember, 'session' | 'joinedAtSeconds' | 'leftAtSeconds' | 'peakBytes'>;

/** A young process that allocates nothing, but has changed much of what it inherited. */
export interface QuietProcess extends YoungProcess {
  readonly parentPid: number | null;
  readonly command: readonly string[];
  readonly copiedBytes: number;
}

type AddonTree = Pick<InstanceType<Addon['ProcessTree']>, 'young' | 'forgetYoung'>;

export class YoungProcesses {
  readonly #tree: AddonTree;
  readonly #leastCopiedBytes: number;
  #ended: SmallProcess[] = [];
  readonly #quiet = new Map<number, QuietProcess>();

  /** @param leastCopiedBytes from which on a quiet process is worth telling. */
  constructor(tree: AddonTree, leastCopiedBytes: number) {
    this.#tree = tree;
    this.#leastCopiedBytes = leastCopiedBytes;
  }

  /** A profile begins. */
  begin(): void {
    this.#ended = [];
    this.#quiet.clear();
  }

  /** Looks for those that have ended: their places are others' then. */
  poll(): void {
    for (const young of this.#tree.young()) {
      const leftAtSeconds =
        young.leftAtSeconds ??
        (isGone(young.pid, young.joinedAtSeconds) ? Number(process.hrtime.bigint()) / 1e9 : null);
      if (leftAtSeconds === null) {
        continue;
      }
      const quiet = this.#quietOf(young);
      if (quiet === undefined) {
        this.#ended.push({ ...young, leftAtSeconds });
      } else {
        this.#quiet.set(young.pid, { ...quiet, peakBytes: young.peakBytes, leftAtSeconds });
      }
      this.#tree.forgetYoung(young.place);
    }
  }

  /** Reads how many pages of their parents' they have changed. */
  survey(): void {
    for (const young of this.#tree.young()) {
      const copiedBytes = young.leftAtSeconds === null ? (inheritedCopies(young.pid, 0) ?? 0) : 0;
      if (copiedBytes >= this.#leastCopiedBytes) {
        const { pid } = young;
        this.#quiet.set(pid, { ...young, parentPid: parentOf(pid), command: commandOf(pid), copiedBytes });
      }
    }
  }

  /** Those of a session that are only counted. */
  small(session: number): SmallProcess[] {
    const alive = this.#tree.young().filter((young) => this.#quietOf(young) === undefined);
    return [...this.#ended, ...alive].filter((process) => process.session === session);
  }

  #quietOf({ pid, joinedAtSeconds }: YoungProcess): QuietProcess | undefined {
    const quiet = this.#quiet.get(pid);
    return quiet?.joinedAtSeconds === joinedAtSeconds ? quiet : undefined;
  }

  /** @param members pids of those that have a segment by now. */
  quiet(session: number, members: ReadonlySet<number>): QuietProcess[] {
    return [...this.#quiet.values()].filter((process) => process.session === session && !members.has(process.pid));
  }
}
