/**
 * Bundles the Node side into filprofiler/_bundle/fil.cjs, one CommonJS script without dependencies, and puts zeromq's addon beside it,
 * and the licences of all packages that a bundle or the report's page can contain. Started by the set-up once npm's packages are there.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as esbuild from 'esbuild';
import { shippedPackages } from './lib/audit.mjs';
import { BUNDLE, ROOT, at } from './lib/paths.mjs';

// zeromq ships several builds; this one asks for the oldest glibc of those that carry all features (the others need glibc 2.38).
const ZEROMQ_ADDON = at(
  'node_modules/zeromq/build',
  process.platform,
  process.arch,
  'node/glibc-127-Release/addon.node',
);
if (!existsSync(ZEROMQ_ADDON)) {
  throw new Error(`zeromq has no addon for ${process.platform} on ${process.arch}: ${ZEROMQ_ADDON} does not exist.`);
}

/** zeromq's own loader searches its package for an addon; in the bundle it lies beside the script. */
const zeromqBeside = {
  name: 'zeromq-beside-the-bundle',
  /** @param {esbuild.PluginBuild} build */
  setup(build) {
    build.onLoad({ filter: /[\\/]zeromq[\\/]lib[\\/]load-addon\.js$/ }, () => ({
      contents: `exports.__esModule = true; exports.default = module.require(require('node:path').join(__dirname, 'zeromq.node'));`,
      loader: 'js',
    }));
  },
};

mkdirSync(BUNDLE, { recursive: true });
copyFileSync(ZEROMQ_ADDON, path.join(BUNDLE, 'zeromq.node'));
await esbuild.build({
  absWorkingDir: ROOT,
  entryPoints: ['kernel/src/cli.ts'],
  outfile: path.join(BUNDLE, 'fil.cjs'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  plugins: [zeromqBeside],
  legalComments: 'eof',
  logLevel: 'info',
});

/** @param {string} name of an npm package @returns {string} name, version and licence texts */
function licenceOf(name) {
  const directory = at('node_modules', name);
  /** @type {{ version: string, license: string }} */
  const { version, license } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8'));
  const files = readdirSync(directory).filter((file) => /^licen[cs]e/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(directory, file), 'utf8').trim());
  return [`${name} ${version}: ${license}`, ...texts].join('\n\n');
}

/** @type {Parameters<typeof shippedPackages>[0]} */
const lock = JSON.parse(readFileSync(at('package-lock.json'), 'utf8'));
const licences = [...shippedPackages(lock)].sort().map(licenceOf);
writeFileSync(path.join(BUNDLE, 'THIRD_PARTY_LICENSES.txt'), `${licences.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
