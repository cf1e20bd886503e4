/** A part of `npm run lint`: every dependency is in docs/dependencies.md, and the licences of all packages are fine for their use. */
import { dependencyProblems } from './lib/dependencies.mjs';

const problems = dependencyProblems();
console.log(problems.length === 0 ? 'All dependencies are told and their licences fine.' : problems.join('\n'));
process.exitCode = problems.length === 0 ? 0 : 1;
