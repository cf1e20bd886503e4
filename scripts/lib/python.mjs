/** Finds the Python that the development environment is made with. */
import { spawnSync } from 'node:child_process';
import { Failure } from './process.mjs';

/** Minor versions of Python 3 that the tracker knows. */
const SUPPORTED = [11, 12, 13];

// `sys.executable` of the base installation: what PATH finds may be a shell shim or a virtual environment.
const PROBE = `
import sys, os, sysconfig
import ensurepip, venv
base = os.path.join(sys.base_exec_prefix, "bin", "python%d.%d" % sys.version_info[:2])
print(sys.version_info[1], bool(sysconfig.get_config_var("Py_GIL_DISABLED")), sys.implementation.name)
print(os.path.realpath(base if os.path.exists(base) else sys.executable))
`;

/**
 * @returns {string} the absolute path of a CPython that the tracker supports. FIL_PYTHON names another one than PATH's first.
 * @throws {Failure} naming what was tried.
 */
export function findPython() {
  const named = process.env.FIL_PYTHON;
  const candidates = named === undefined ? ['python3', ...SUPPORTED.map((minor) => `python3.${minor}`)] : [named];
  const tried = [];
  for (const candidate of candidates) {
    const result = spawnSync(candidate, ['-c', PROBE], { encoding: 'utf8' });
    if (result.error !== undefined) {
      tried.push(`${candidate}: not found`);
      continue;
    }
    if (result.status !== 0) {
      const reason = result.stderr.trim().split('\n').at(-1) ?? '';
      tried.push(
        `${candidate}: ${reason}${/ensurepip|venv/.test(reason) ? ' (Debian: apt-get install python3-venv)' : ''}`,
      );
      continue;
    }
    const [facts = '', executable = ''] = result.stdout.trim().split('\n');
    const [minor, freeThreaded, implementation] = facts.split(' ');
    if (SUPPORTED.includes(Number(minor)) && freeThreaded === 'False' && implementation === 'cpython') {
      return executable;
    }
    tried.push(`${candidate}: ${implementation} 3.${minor}${freeThreaded === 'True' ? ' without GIL' : ''}`);
  }
  throw new Failure(
    `No usable Python was found.\n  Tried ${tried.join('; ')}.\n  What to do: install CPython 3.${SUPPORTED.join(', 3.')} ` +
      'with its venv module, or name one: FIL_PYTHON=/path/to/python3.12 npm run setup',
  );
}
