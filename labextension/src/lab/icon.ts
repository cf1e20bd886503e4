/** A flamegraph of three rows, in the colours of Lab's other icons. */
import { LabIcon } from '@jupyterlab/ui-components';

export const memoryIcon = new LabIcon({
  name: 'filprofiler:memory',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3" fill="#616161">' +
    '<rect x="1" y="2" width="14" height="3.4" rx=".5"/><rect x="1" y="6.3" width="9.5" height="3.4" rx=".5"/>' +
    '<rect x="11.4" y="6.3" width="3.6" height="3.4" rx=".5"/><rect x="3.5" y="10.6" width="5" height="3.4" rx=".5"/></g></svg>',
});
