import js from '@eslint/js';
import globals from 'globals';
import tseslint from 'typescript-eslint';

/** Forbids imports by pattern, saying why. */
const forbid = (...patterns) => ({ 'no-restricted-imports': ['error', { patterns }] });
const toKernel = { group: ['**/kernel/**'], message: 'labextension and kernel meet in schema only.' };
const toLab = {
  group: ['**/labextension/**', '@jupyterlab/*', '@lumino/*'],
  message: 'kernel and labextension meet in schema only.',
};
const toNode = { regex: '^node:', message: 'This code also runs in the browser.' };

export default tseslint.config(
  {
    ignores: [
      '**/node_modules/',
      'build/',
      'dist/',
      'output/',
      '.venv/',
      '.venv-peers/',
      'filprofiler/',
      '**/*.d.ts',
      'ui-tests/test-results/',
      'ui-tests/playwright-report/',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // A schema and its inferred type carry one name on purpose.
      '@typescript-eslint/no-redeclare': 'off',
      'no-redeclare': 'off',
      eqeqeq: 'error',
    },
  },
  { files: ['schema/*.ts', 'schema/tree/*.ts'], rules: forbid(toKernel, toLab, toNode) },
  { files: ['kernel/**/*.ts'], rules: forbid(toLab) },
  { files: ['labextension/**/*.ts'], rules: forbid(toKernel) },
  {
    files: ['labextension/src/**/*.ts'],
    rules: forbid(toKernel, toNode),
  },
  {
    files: ['labextension/src/view/**/*.ts'],
    rules: forbid(toKernel, toNode, {
      group: ['@jupyterlab/*', '@lumino/*'],
      message: 'The view also draws the one-file report, outside Jupyter.',
    }),
  },
  {
    files: ['scripts/**/*.mjs'],
    // These are started when npm's packages are there.
    ignores: ['scripts/build-kernel-bundle.mjs', 'scripts/build-report-page.mjs', 'scripts/lib/sentences.mjs'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^(?!node:|\\.)', message: 'Scripts run before npm ci: Node built-ins only.' }] },
      ],
    },
  },
  { files: ['*.js', '**/*.mjs'], languageOptions: { globals: globals.node } },
);
