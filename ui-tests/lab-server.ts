/**
 * The Jupyter server that the browser tests share, with roots of its own: nothing of the user's settings, kernels or notebooks.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = join(REPOSITORY, 'build', 'ui-tests');
/** Each checkout has a port of its own, so that two of them can run these tests at once. */
const PORT = 20_000 + (createHash('sha256').update(REPOSITORY).digest().readUInt16BE(0) % 10_000);

export const LAB_URL = `http://127.0.0.1:${PORT}`;
/** What the server serves. Tests write their notebooks here. */
export const NOTEBOOKS = join(FOLDER, 'notebooks');
export const EXAMPLE = join(REPOSITORY, 'examples', 'flights.ipynb');
export const EXTENSION = join(REPOSITORY, 'filprofiler', 'labextension');
export const JUPYTER = join(REPOSITORY, '.venv', 'bin', 'jupyter');
export const IMAGES = join(REPOSITORY, 'docs', 'images');
export const PAGE_TEMPLATE = join(REPOSITORY, 'filprofiler', '_bundle', 'report.html');

/** Lab asks on its first start whether it may fetch news. */
const SETTINGS = { '@jupyterlab/apputils-extension/notification': { fetchNews: 'false', checkForUpdates: false } };

interface WebServer {
  readonly command: string;
  readonly url: string;
  readonly env: Record<string, string>;
  readonly reuseExistingServer: boolean;
  readonly timeout: number;
  readonly gracefulShutdown: { readonly signal: 'SIGTERM'; readonly timeout: number };
}

/** Playwright's description of the server. */
export function labServer(): WebServer {
  mkdirSync(NOTEBOOKS, { recursive: true });
  const settings = join(FOLDER, 'settings');
  for (const [plugin, values] of Object.entries(SETTINGS)) {
    const file = join(settings, `${plugin}.jupyterlab-settings`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(values));
  }
  const options = [
    '--no-browser',
    '--allow-root',
    '--expose-app-in-browser',
    `--ServerApp.port=${PORT}`,
    '--ServerApp.port_retries=0',
    `--ServerApp.root_dir="${NOTEBOOKS}"`,
    '--IdentityProvider.token=',
    '--LabApp.news_url=None',
  ];
  return {
    command: `"${join(REPOSITORY, '.venv', 'bin', 'jupyter-lab')}" ${options.join(' ')}`,
    url: `${LAB_URL}/api`,
    env: {
      JUPYTER_CONFIG_DIR: join(FOLDER, 'config'),
      JUPYTER_DATA_DIR: join(FOLDER, 'data'),
      JUPYTER_RUNTIME_DIR: join(FOLDER, 'runtime'),
      JUPYTERLAB_SETTINGS_DIR: settings,
      JUPYTERLAB_WORKSPACES_DIR: join(FOLDER, 'workspaces'),
      IPYTHONDIR: join(FOLDER, 'ipython'),
    },
    reuseExistingServer: false,
    timeout: 60_000,
    gracefulShutdown: { signal: 'SIGTERM', timeout: 10_000 },
  };
}
