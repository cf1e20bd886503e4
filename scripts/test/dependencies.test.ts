import { describe, expect, it } from 'vitest';
import { dependencyProblems, mistakes, npmPackages, required, tableRows, unfitLicences } from '../lib/dependencies.mjs';

const PAGE = `
| package | for | licence | maintained by |
| ------- | --- | ------- | ------------- |
| zod, commander (of npm, say) | checks | MIT | somebody |
| gone | nothing | MIT | |
`;

describe('the page of dependencies', () => {
  it('names every package that is asked for, and no other, with reason, licence and maintainers', () => {
    expect(mistakes(tableRows(PAGE), ['zod', 'commander', 'numpy'], [])).toEqual([
      'numpy is not in docs/dependencies.md.',
      'gone is in docs/dependencies.md, and nothing needs it.',
      'gone: reason, licence or maintainers are missing in docs/dependencies.md.',
    ]);
  });

  it('is told of what pip is asked for, whatever versions', () => {
    expect(required('# tools\nnumpy\nsetuptools<81\n\njupyter_client==8.1 # why\n')).toEqual([
      'numpy',
      'setuptools',
      'jupyter_client',
    ]);
  });

  it('is that of this checkout', () => {
    expect(dependencyProblems()).toEqual([]);
  });
});

describe('licences', () => {
  const packages = [
    { name: 'free', licences: ['(GPL-3.0 OR MIT)'] },
    { name: 'both', licences: ['MIT AND GPL-3.0'] },
    { name: 'tool', licences: ['EPL-2.0'] },
    { name: 'silent', licences: [] },
  ];

  it('of what reaches users have to be permissive; of tools, those of their own files may be asked for', () => {
    expect(unfitLicences(packages, () => false)).toEqual([
      'both: its licence is MIT AND GPL-3.0.',
      'silent: its licence is not told.',
    ]);
    expect(unfitLicences(packages, () => true).map((problem) => problem.split(':')[0])).toEqual([
      'both',
      'tool',
      'silent',
    ]);
  });

  it('are those of the lock, or of the old form in package.json', () => {
    const lock = { packages: { '': {}, 'node_modules/a': { license: 'ISC' }, 'node_modules/x/node_modules/b': {} } };
    expect(npmPackages(lock, () => ({ licenses: [{ type: 'MIT' }] }))).toEqual([
      { name: 'a', licences: ['ISC'] },
      { name: 'b', licences: ['MIT'] },
    ]);
  });
});
