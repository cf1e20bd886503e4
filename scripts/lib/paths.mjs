/** Where things are. Paths are absolute; nothing here depends on the current directory. */
import { fileURLToPath } from 'node:url';
import path from 'node:path';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** @param {...string} parts below the repository */
export const at = (...parts) => path.join(ROOT, ...parts);

export const VENV = at('.venv');
export const PYTHON = at('.venv', 'bin', 'python');
export const BUNDLE = at('filprofiler', '_bundle');
export const LOGS = at('build', 'logs');
export const NATIVE_BUILD = at('build', 'native');
/** Machine-readable results of the test suites. */
export const RESULTS = at('build', 'test-results');
export const EXAMPLE = at('examples', 'flights.ipynb');

/** A path as a person in the repository would type it. @param {string} absolute */
export const shown = (absolute) => path.relative(process.cwd(), absolute) || '.';
