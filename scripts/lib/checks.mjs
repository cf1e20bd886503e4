/** The format, lint and type checks, which `npm run lint`, `npm run format` and `npm test` share. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { PYTHON, ROOT, VENV, at } from './paths.mjs';
import { filesBelow } from './steps.mjs';

/** @param {string} name of a tool in .venv */
const inVenv = (name) => path.join(VENV, 'bin', name);
/** @param {string} script of an npm package, run with this Node @param {...string} args @returns {string[]} */
const node = (script, ...args) => [process.execPath, at('node_modules', script), ...args];

const PRETTIER = 'prettier/bin/prettier.cjs';
const PRETTIER_FILES = '**/*.{ts,mjs,js,css,json}';

/** Files of the tracker and the addon that clang-format lays out. */
const cppFiles = () => filesBelow(at('native')).filter((file) => /\.(cpp|hpp|h|c)$/.test(file) && existsSync(file));

/** Builds the documentation; a link that leads nowhere, or a page that no menu has, fails. Needs no network. */
export const DOCS_COMMAND = () => [
  PYTHON,
  '-m',
  'mkdocs',
  'build',
  '--strict',
  '--quiet',
  '--config-file',
  at('mkdocs.yml'),
];

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {() => readonly string[]} command what fails if the check fails.
 * @property {() => readonly string[]} [fix] what mends what can be mended.
 */

/** @type {readonly Check[]} */
export const CHECKS = [
  {
    name: 'prettier',
    command: () => node(PRETTIER, '--check', '--log-level', 'warn', PRETTIER_FILES),
    fix: () => node(PRETTIER, '--write', '--log-level', 'warn', PRETTIER_FILES),
  },
  { name: 'tsc', command: () => node('typescript/bin/tsc', '-b') },
  {
    name: 'eslint',
    command: () => node('eslint/bin/eslint.js', '--max-warnings', '0', ROOT),
    fix: () => node('eslint/bin/eslint.js', '--fix', ROOT),
  },
  {
    name: 'ruff format',
    command: () => [inVenv('ruff'), 'format', '--check', ROOT],
    fix: () => [inVenv('ruff'), 'format', ROOT],
  },
  {
    name: 'ruff check',
    command: () => [inVenv('ruff'), 'check', ROOT],
    fix: () => [inVenv('ruff'), 'check', '--fix', ROOT],
  },
  {
    name: 'clang-format',
    command: () => [inVenv('clang-format'), '--dry-run', '--Werror', ...cppFiles()],
    fix: () => [inVenv('clang-format'), '-i', ...cppFiles()],
  },
  { name: 'documentation', command: DOCS_COMMAND },
  { name: 'dependencies', command: () => [process.execPath, at('scripts', 'check-dependencies.mjs')] },
];
