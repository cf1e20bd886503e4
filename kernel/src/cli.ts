/**
 * The front door of everything that runs in Node. `filprofiler.kernel` in Python finds Node and executes it with this program.
 */
// First, before anything that takes time to load: from here on signals are kept.
import './proxy/signals.js';
import { isMainThread } from 'node:worker_threads';
import { Command, Option } from 'commander';
import { addReadingCommands, tellFailure } from './commands/index.js';
import { reasonOf, StartFailure } from './failure.js';
import type { BrowserChoice } from './launcher/browser.js';
import type { MemorySettings } from './memory-matters.js';
import type { TreeSettings } from './process-tree.js';
import { type Reason, REASONS } from './recording/stored-reports.js';

const program = new Command('fil').description(
  'The part of filprofiler that runs in Node; started by its Python package.',
);

/** Of both that watch over a process. */
const HEADROOM_OPTION = ['--memory-headroom <bytes>', 'memory that is to be left; 0 for what is usual', '0'] as const;
const LIMIT_OPTION = ['--memory-limit <bytes>', 'what the processes may hold together; 0 for no limit', '0'] as const;
const KEEP_OPTION = ['--keep-state <directory>', 'where the state of profiles is kept on disk while they run'] as const;
const NO_CHILDREN_OPTION = ['--no-children', 'track the one process and none that it starts'] as const;
const EXACT_TREE_OPTION = ['--exact-tree', 'make the peak of all processes together exact to the byte'] as const;
const NO_ACTION_OPTION = ['--no-memory-action', 'only tell when memory runs out'] as const;

interface TreeArguments {
  readonly children: boolean;
  readonly exactTree?: true;
}

function treeSettings({ children, exactTree }: TreeArguments): TreeSettings {
  return { children, exact: exactTree === true };
}

interface MemoryArguments {
  readonly memoryHeadroom: string;
  readonly memoryLimit: string;
  readonly memoryAction: boolean;
  readonly keepState?: string;
}

function memorySettings(options: MemoryArguments): MemorySettings {
  return {
    headroomBytes: Number(options.memoryHeadroom),
    limitBytes: Number(options.memoryLimit),
    acts: options.memoryAction,
  };
}

program
  .command('kernel')
  .description('serve a Jupyter kernel that can profile cells')
  .requiredOption('-f, --connection-file <file>', 'connection file, made by the Jupyter client')
  .requiredOption('--python <path>', 'Python that has filprofiler and ipykernel')
  .option(...HEADROOM_OPTION)
  .option(...LIMIT_OPTION)
  .option(...NO_ACTION_OPTION)
  .option(...NO_CHILDREN_OPTION)
  .option(...EXACT_TREE_OPTION)
  .option(...KEEP_OPTION)
  .argument('[arguments...]', 'more arguments for ipykernel, after --')
  .action(async (args: readonly string[], options: KernelArguments) => {
    const { runKernel } = await import('./proxy/kernel.js');
    process.exit(
      await runKernel({
        ...options,
        arguments: args,
        memory: memorySettings(options),
        tree: treeSettings(options),
        keepState: options.keepState ?? null,
      }),
    );
  });

interface KernelArguments extends MemoryArguments, TreeArguments {
  readonly connectionFile: string;
  readonly python: string;
}

interface LaunchArguments extends MemoryArguments, TreeArguments {
  readonly child: string;
  readonly segment: string;
  readonly ready: string;
  readonly python: string;
  readonly command: string;
  readonly trackProgram?: true;
  readonly output: string;
  readonly browser: BrowserChoice;
  readonly maxPeak?: string;
}

program
  .command('launch')
  .description('stand by a program that was started with the tracker, and write its reports')
  .requiredOption('--child <pid>', "the program's process")
  .requiredOption('--segment <descriptor>', 'an empty memfd that it shares')
  .requiredOption('--ready <descriptor>', 'a pipe on which it waits to be told what to become')
  .requiredOption('--python <path>', 'the Python that it runs in')
  .requiredOption('--command <json>', 'its command line, to be shown')
  .option('--track-program', 'profile the whole program')
  .option('--output <directory>', 'where reports are written', 'fil-result')
  .addOption(new Option('--browser <choice>').choices(['auto', 'always', 'never']).default('auto'))
  .option('--max-peak <bytes>', 'most that the program may hold')
  .option(...HEADROOM_OPTION)
  .option(...LIMIT_OPTION)
  .option(...NO_ACTION_OPTION)
  .option(...NO_CHILDREN_OPTION)
  .option(...EXACT_TREE_OPTION)
  .option(...KEEP_OPTION)
  .action(async (options: LaunchArguments) => {
    // What each command needs is loaded for it alone: a program waits for this one.
    const { failToLaunch, launch } = await import('./launcher/launch.js');
    await launch({
      ...options,
      child: Number(options.child),
      segment: Number(options.segment),
      ready: Number(options.ready),
      command: JSON.parse(options.command) as string[],
      trackProgram: options.trackProgram === true,
      memory: memorySettings(options),
      tree: treeSettings(options),
      keepState: options.keepState ?? null,
      maxPeakBytes: options.maxPeak === undefined ? null : Number(options.maxPeak),
    }).catch(failToLaunch);
  });

program
  .command('record')
  .description('write a report of a job that samples its memory; started by its recorder')
  .requiredOption('--segment <file>', 'its shared memory')
  .requiredOption('--pid <pid>', 'its process')
  .addOption(new Option('--reason <reason>', 'why').choices(REASONS).makeOptionMandatory())
  .requiredOption('--status <status>', 'its exit status, if that is the reason')
  .requiredOption('--started <seconds>', 'of the epoch')
  .requiredOption('--command <arguments>', 'its command line')
  .action(async (options: RecordArguments) => {
    try {
      const { record } = await import('./recording/record.js');
      record(
        { ...options, pid: Number(options.pid), status: Number(options.status), started: Number(options.started) },
        process.env,
      );
    } catch (error) {
      process.stdout.write(`${reasonOf(error)}\n`, () => process.exit(1));
    }
  });

program
  .command('attend')
  .description('stand by the workers of this machine while they are profiled; started by the first of them')
  .argument('<directory>', 'for its socket, of this user only')
  .action(async (directory: string) => {
    await (await import('./cluster/attend.js')).attend(directory);
    process.exit(0);
  });

program
  .command('cluster')
  .description('put together what the machines of a cluster have sent')
  .action(async () => {
    (await import('./cluster/command.js')).runCluster();
  });

interface RecordArguments {
  readonly segment: string;
  readonly pid: string;
  readonly reason: Reason;
  readonly status: string;
  readonly started: string;
  readonly command: string;
}

addReadingCommands(program);

function fail(error: unknown): never {
  if (tellFailure(error)) {
    process.exit(error.status);
  }
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
  void import('./report-job.js').then(({ serveAsWorker }) => {
    serveAsWorker();
  });
}
