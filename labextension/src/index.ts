/**
 * The JupyterLab and Notebook 7 extension: reports in cell outputs.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { REPORT_MIME_TYPE } from '../../schema/report.js';
import { ReportRenderer } from './renderer.js';
import { PLAIN_HOST } from './view/host.js';

/** Before text/html (50), which the same outputs carry for everybody else. */
const RANK = 0;

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'filprofiler:plugin',
  description: 'Shows memory profiles in cell outputs.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (_app: JupyterFrontEnd, rendermime: IRenderMimeRegistry) => {
    rendermime.addFactory(
      {
        // It makes no HTML from the data, so it may also draw what nobody has trusted yet.
        safe: true,
        mimeTypes: [REPORT_MIME_TYPE],
        createRenderer: () =>
          new ReportRenderer(
            () => PLAIN_HOST,
            () => undefined,
          ),
      },
      RANK,
    );
  },
};

export default plugin;
