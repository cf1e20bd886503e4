/** Set-up as a whole: every step in order. */
import { Failure } from './process.mjs';
import { STEPS } from './setup-steps.mjs';
import { performAll } from './steps.mjs';

/**
 * Brings everything up to date that JupyterLab with Fil needs.
 *
 * @throws {Failure} at the first step that fails; the earlier ones stay done.
 */
export async function setUp() {
  if (process.platform !== 'linux') {
    throw new Failure(
      `Fil's tracker runs on Linux; this is ${process.platform}. Use a Linux machine, container or WSL 2.`,
    );
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Failure(`Node ${process.versions.node} is too old. Install Node 20.19 or newer.`);
  }
  await performAll(Object.values(STEPS));
}
