/**
 * The JupyterLab and Notebook 7 extension: reports in cell outputs, and the ways to get them.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';
import { LIVE_MIME_TYPE } from '../../schema/live.js';
import { REPORT_MIME_TYPE } from '../../schema/report.js';
import { say, useTranslator } from '../../schema/words.js';
import { History } from './lab/history.js';
import { Hosts } from './lab/hosts.js';
import { memoryIcon } from './lab/icon.js';
import { Kernels } from './lab/kernels.js';
import { Overview } from './lab/overview.js';
import { addProfileCommands } from './lab/profile-cells.js';
import { SampledCells } from './lab/sampled-cells.js';
import { Settings } from './lab/settings.js';
import { LiveRenderer } from './live-renderer.js';
import { ReportRenderer } from './renderer.js';
import { PLAIN_HOST, type ViewHost } from './view/host.js';

const PLUGIN = 'filprofiler:plugin';
const SHOW_OVERVIEW = 'filprofiler:show-overview';

/** Before text/html (50), which the same outputs carry for everybody else. */
const RANK = 0;

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Shows memory profiles in cell outputs, and profiles cells.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [INotebookTracker, ICommandPalette, ISettingRegistry, ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
  ) => {
    if (translator !== null) {
      const bundle = translator.load('filprofiler');
      useTranslator((text, ...values) => bundle.__(text, ...values));
    }
    const settings = new Settings();
    const history = new History();
    const hosts = tracker === null ? null : new Hosts(tracker, history, settings);
    const renderers = new Set<ReportRenderer>();
    rendermime.addFactory(
      {
        // It makes no HTML from the data, so it may also draw what nobody has trusted yet.
        safe: true,
        mimeTypes: [REPORT_MIME_TYPE],
        createRenderer: () => {
          const renderer: ReportRenderer = new ReportRenderer({
            hostOf: (made): ViewHost => hosts?.hostOf(made) ?? PLAIN_HOST,
            shown: () => hosts?.showBars(renderer, true),
            leaving: () => hosts?.showBars(renderer, false),
            disposed: () => renderers.delete(renderer),
          });
          renderers.add(renderer);
          return renderer;
        },
      },
      RANK,
    );
    rendermime.addFactory(
      { safe: true, mimeTypes: [LIVE_MIME_TYPE], createRenderer: () => new LiveRenderer(settings.hasLiveView) },
      RANK,
    );
    settings.changed.connect(() => {
      renderers.forEach((renderer) => {
        renderer.redraw();
      });
    });
    if (tracker !== null) {
      tracker.widgetAdded.connect((_, panel) => {
        history.follow(panel);
      });
      tracker.forEach((panel) => {
        history.follow(panel);
      });
      const kernels = new Kernels(app.serviceManager.kernelspecs);
      addProfileCommands({ app, tracker, kernels, settings, palette, icon: memoryIcon });
      const sampled = new SampledCells({ tracker, kernels, settings });
      const overview = new Overview(tracker, kernels, sampled, memoryIcon);
      app.shell.add(overview, 'right', { rank: 900, type: 'Memory profiles' });
      restorer?.add(overview, overview.id);
      app.commands.addCommand(SHOW_OVERVIEW, {
        label: say('Show Memory Profiles'),
        icon: memoryIcon,
        execute: () => {
          app.shell.activateById(overview.id);
        },
      });
      palette?.addItem({ command: SHOW_OVERVIEW, category: say('Memory profile') });
    }
    if (registry === null) {
      settings.useDefaults();
    }
    registry?.load(PLUGIN).then(
      (loaded) => {
        settings.follow(loaded);
      },
      (error: unknown) => {
        console.warn(`The settings of ${PLUGIN} can't be read; the defaults are used.`, error);
        settings.useDefaults();
      },
    );
  },
};

export default plugin;
