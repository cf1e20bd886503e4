/** `npm start [-- options of jupyter lab]`: sets up, then opens JupyterLab on the example notebook until Ctrl-C. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { EXAMPLE, PYTHON, ROOT } from './lib/paths.mjs';
import { environment, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

/** Which notebook is opened can be chosen: `npm start -- other.ipynb`. @param {readonly string[]} options */
const namesNotebook = (options) => options.some((option) => option.endsWith('.ipynb') && !option.startsWith('-'));

await script(async () => {
  const started = performance.now();
  await setUp();
  console.log(
    `Set up after ${((performance.now() - started) / 1000).toFixed(1)} s. Starting JupyterLab; Ctrl-C ends it.`,
  );
  const options = process.argv.slice(2);
  const args = [
    '-m',
    'jupyterlab',
    // As the default page rather than as an argument: so the address that a server without browser prints opens it too.
    ...(namesNotebook(options)
      ? []
      : [`--ServerApp.root_dir=${ROOT}`, `--LabApp.default_url=/lab/tree/${path.relative(ROOT, EXAMPLE)}`]),
    // One Ctrl-C ends the server, without a question that nobody may be there to answer.
    '--ServerApp.answer_yes=True',
    '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
    // Jupyter refuses to run as root, as in containers, unless told so.
    ...(process.getuid?.() === 0 ? ['--allow-root'] : []),
    ...options,
  ];
  const lab = spawn(PYTHON, args, { cwd: ROOT, env: environment(), stdio: 'inherit' });
  // Outlive Lab, and pass on what may have reached us alone; a second signal of the same kind does Lab no harm.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => lab.kill(signal));
  }
  return new Promise((resolve, reject) => {
    lab.on('error', reject);
    lab.on('exit', (code) => resolve(code ?? 0));
  });
});
