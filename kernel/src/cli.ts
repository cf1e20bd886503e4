/**
 * The front door of everything that runs in Node. `filprofiler.kernel` in Python finds Node and executes it with this program.
 */
// First, before anything that takes time to load: from here on signals are kept.
import './proxy/signals.js';
import { isMainThread } from 'node:worker_threads';
import { Command } from 'commander';
import { reasonOf, StartFailure } from './failure.js';
import { runKernel } from './proxy/kernel.js';
import { serveAsWorker } from './report-job.js';

const program = new Command('fil').description(
  'The part of filprofiler that runs in Node; started by its Python package.',
);

program
  .command('kernel')
  .description('serve a Jupyter kernel that can profile cells')
  .requiredOption('-f, --connection-file <file>', 'connection file, made by the Jupyter client')
  .requiredOption('--python <path>', 'Python that has filprofiler and ipykernel')
  .argument('[arguments...]', 'more arguments for ipykernel, after --')
  .action(async (args: readonly string[], options: { readonly connectionFile: string; readonly python: string }) => {
    process.exit(await runKernel({ ...options, arguments: args }));
  });

function fail(error: unknown): never {
  // Explained failures are for users; the stack of another is for us.
  const text =
    error instanceof StartFailure
      ? error.message
      : error instanceof Error
        ? (error.stack ?? reasonOf(error))
        : String(error);
  process.stderr.write(`Fil: ${text}\n`);
  process.exit(1);
}

if (isMainThread) {
  process.on('uncaughtException', fail);
  program.parseAsync().catch(fail);
} else {
  serveAsWorker();
}
