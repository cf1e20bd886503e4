/**
 * The commands that profile cells without a change of their text: the wish goes with the request to execute.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import { type Cell, CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { LabIcon } from '@jupyterlab/ui-components';
import { type ProfileRequest, REQUEST_METADATA } from '../../../schema/control.js';
import { say } from '../../../schema/words.js';
import type { Kernels } from './kernels.js';
import type { Settings } from './settings.js';

export const PROFILE_CELL = 'filprofiler:profile-cell';
export const PROFILE_ALL = 'filprofiler:profile-all';

/** How Lab says that the kernel of a request is gone, which its own commands pass over, too. */
const CANCELED = 'Canceled';

export interface ProfileCommandsOptions {
  readonly app: JupyterFrontEnd;
  readonly tracker: INotebookTracker;
  readonly kernels: Kernels;
  readonly settings: Settings;
  readonly palette: ICommandPalette | null;
  readonly icon: LabIcon;
}

export function addProfileCommands(options: ProfileCommandsOptions): void {
  const { app, tracker, kernels, settings, palette, icon } = options;
  const { commands } = app;
  const caption = (what: string): string => {
    const panel = tracker.currentWidget;
    if (panel === null || kernels.canProfile(panel)) {
      return what;
    }
    const { ours } = kernels;
    return ours === null
      ? say('%1 (no kernel that can is installed)', what)
      : say('%1 (switches to the kernel "%2")', what, ours.display_name);
  };
  commands.addCommand(PROFILE_CELL, {
    label: say('Profile This Cell'),
    caption: () => caption(say('Run this cell and show which lines held the memory')),
    icon,
    isEnabled: () => tracker.activeCell instanceof CodeCell && tracker.activeCell.node.isConnected,
    execute: async () => {
      const panel = tracker.currentWidget;
      if (panel !== null) {
        const chosen = panel.content.widgets.filter((cell) => panel.content.isSelectedOrActive(cell));
        await profileCells(panel, chosen, kernels, settings);
      }
    },
  });
  commands.addCommand(PROFILE_ALL, {
    label: say('Profile All Cells'),
    caption: () => caption(say('Run all cells and show for each which lines held the memory')),
    isEnabled: () => tracker.currentWidget !== null,
    execute: async () => {
      const panel = tracker.currentWidget;
      if (panel !== null) {
        await profileCells(panel, panel.content.widgets, kernels, settings);
      }
    },
  });
  const changed = (): void => {
    commands.notifyCommandChanged(PROFILE_CELL);
    commands.notifyCommandChanged(PROFILE_ALL);
  };
  tracker.currentChanged.connect(changed);
  tracker.activeCellChanged.connect(changed);
  tracker.widgetAdded.connect((_, panel) => {
    panel.sessionContext.kernelChanged.connect(changed);
    panel.content.activeCellChanged.connect(changed);
  });
  app.serviceManager.kernelspecs.specsChanged.connect(changed);
  for (const command of [PROFILE_CELL, PROFILE_ALL]) {
    palette?.addItem({ command, category: say('Memory profile') });
  }
}

/** Runs cells one after the other, up to the first that fails, as Lab does. */
export async function profileCells(
  panel: NotebookPanel,
  cells: readonly Cell[],
  kernels: Kernels,
  settings: Settings,
): Promise<void> {
  if (panel.content.model?.readOnly === true || !(await kernels.ensure(panel))) {
    return;
  }
  const { hasLiveView, reportDirectory, cellLimit, hasGuard, guardHeadroom } = settings;
  const request = {
    profile: true,
    live: hasLiveView,
    ...(reportDirectory === '' ? {} : { output: reportDirectory }),
    ...(cellLimit === '' ? {} : { limit: cellLimit }),
    // A reader who has it on does not overrule a server that has it off.
    ...(hasGuard ? {} : { guard: false }),
    ...(guardHeadroom === '' ? {} : { headroom: guardHeadroom }),
  } satisfies ProfileRequest;
  const metadata = { [REQUEST_METADATA]: request, recordTiming: panel.content.notebookConfig.recordTiming };
  for (const cell of cells) {
    if (!(cell instanceof CodeCell) || cell.isDisposed) {
      continue;
    }
    let reply: Awaited<ReturnType<typeof CodeCell.execute>>;
    try {
      reply = await CodeCell.execute(cell, panel.sessionContext, metadata);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith(CANCELED)) {
        // The kernel was restarted or shut down meanwhile: the reader knows.
        return;
      }
      throw error;
    }
    if (reply !== undefined && reply.content.status !== 'ok') {
      return;
    }
  }
}
