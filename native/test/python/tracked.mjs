// Runs a command with the tracker preloaded and prints what its segment holds at the end, as JSON on the last line of stdout:
// node tracked.mjs BUNDLE_DIRECTORY COMMAND ARGUMENTS...
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

const [bundle, command, ...args] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(path.join(bundle, 'filprofiler.node'));
const segment = new addon.Segment();
const child = spawn(command, args, {
  stdio: ['inherit', 'inherit', 'inherit', segment.descriptor],
  env: {
    ...process.env,
    [addon.environmentNames.segmentDescriptor]: '3',
    [addon.environmentNames.parentPid]: String(process.pid),
    LD_PRELOAD: [path.join(bundle, 'libfil_tracker.so'), process.env.LD_PRELOAD].filter(Boolean).join(':'),
  },
});
child.on('exit', (code, signal) => {
  const { parent, code: codes, line, peakSiteBytes, currentSiteBytes, codes: names, ...totals } = segment.snapshot();
  // A million of them would be a hundred megabytes of text.
  const shown = process.env['TRACKED_TOTALS_ONLY'] === undefined ? parent : [];
  const sites = Array.from(shown.keys(), (site) => {
    const known = codes[site] !== addon.noCode;
    const frame = known
      ? [names.qualifiedName[codes[site]], line[site], names.filename[codes[site]], names.kind[codes[site]]]
      : ['[none]', 0, '', 'python'];
    return [parent[site], frame, peakSiteBytes[site], currentSiteBytes[site]];
  });
  console.log(`\n${JSON.stringify({ code, signal, ...totals, sites })}`);
});
