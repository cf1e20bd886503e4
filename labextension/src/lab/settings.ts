/**
 * The user's settings, as `schema/settings/plugin.json` describes them.
 */
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { type ISignal, Signal } from '@lumino/signaling';
import { useUnits } from '../../../schema/units.js';
import { type Tab, TABS } from '../view/host.js';
import { useLargestReport } from '../view/unpack.js';

/** Lab checks values against the schema; other front ends may not, so unknown values count as the default. */
export class Settings {
  defaultView: Tab = 'flamegraph';
  isFolded = true;
  hasBars = true;
  hasLiveView = true;
  /** A directory of the kernel's for the reports' files; empty for none. */
  reportDirectory = '';
  /** What a profiled cell may hold, as `4GiB`; empty for all there is. */
  cellLimit = '';
  /** Whether anything is done before memory runs out. */
  hasGuard = true;
  /** What has to be left then, as `500MB`; empty for what the kernel was started with. */
  guardHeadroom = '';
  /** Whether cells that nobody profiles are sampled; not before it is known what the user wants. */
  samplesCells = false;
  readonly #changed = new Signal<this, undefined>(this);

  /** Some value is another one now. */
  get changed(): ISignal<this, undefined> {
    return this.#changed;
  }

  /** There is nobody to ask for the user's values. */
  useDefaults(): void {
    this.samplesCells = true;
    this.#changed.emit(undefined);
  }

  /** Takes over a user's values, now and whenever they change. */
  follow(settings: ISettingRegistry.ISettings): void {
    const take = (): void => {
      const { units, defaultView, foldLibraries, barsInEditor, liveView, largestReport } = settings.composite;
      const { reportDirectory, cellLimit, guard, guardHeadroom, sampleCells } = settings.composite;
      useUnits(units === 'decimal' ? 'decimal' : 'binary');
      this.defaultView = TABS.find((tab) => tab === defaultView) ?? 'flamegraph';
      this.isFolded = foldLibraries !== false;
      this.hasBars = barsInEditor !== false;
      this.hasLiveView = liveView !== false;
      this.reportDirectory = typeof reportDirectory === 'string' ? reportDirectory.trim() : '';
      this.cellLimit = typeof cellLimit === 'string' ? cellLimit.trim() : '';
      this.hasGuard = guard !== false;
      this.guardHeadroom = typeof guardHeadroom === 'string' ? guardHeadroom.trim() : '';
      this.samplesCells = sampleCells !== false;
      if (typeof largestReport === 'number') {
        useLargestReport(largestReport);
      }
      this.#changed.emit(undefined);
    };
    settings.changed.connect(take);
    take();
  }
}
