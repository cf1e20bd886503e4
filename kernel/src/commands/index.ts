/**
 * The commands of `fil-profile` that read reports. What each needs is loaded when it is used.
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { MERGE_RULES } from '../../../schema/report.js';
import { onSignal } from '../proxy/signals.js';
import { reasonOf } from '../failure.js';
import type { DiffOptions } from './diff.js';
import type { ExportFormat, ExportOptions } from './export.js';
import { CommandFailure } from './failure.js';
import type { RecoverOptions } from './recover.js';
import type { MergeOptions } from './merge.js';
import type { ReportOptions } from './report.js';
import { tell, writeOut } from './say.js';

const FORMATS = ['speedscope', 'collapsed', 'csv', 'pprof'] as const satisfies readonly ExportFormat[];
const DIFF_FORMATS = ['html', 'text', 'json'] as const satisfies readonly DiffOptions['format'][];
const REPORT_ARGUMENT = 'a directory that fil-profile wrote, or the profile.json in it';
const USAGE_STATUS = 2;

/** Adds them to the program. */
export function addReadingCommands(program: Command): void {
  reading(program, 'report')
    .summary('write the files of a report anew, and its top lines to the terminal')
    .description(
      'Reads profile.json and writes index.html, the flamegraphs (.svg), the collapsed stacks (.prof) and profile.json anew: with ' +
        'the pictures of this version, or somewhere else. The peak and the lines that held most of it go to the terminal.',
    )
    .argument('<report>', REPORT_ARGUMENT)
    .option(
      '-o, --output <directory>',
      'where to write the files; made if it does not exist (default: where the report is)',
    )
    .option('--text', 'only the text, no files')
    .addHelpText(
      'after',
      examples([
        ['fil-profile report fil-result/2026-11-22T11-43-47_474', 'the same report, drawn by this version'],
        ['fil-profile report --text profile.json', 'what held the memory, in a terminal'],
        ['fil-profile report profile.json -o /tmp/report', 'the files of a report that somebody sent'],
      ]),
    )
    .action(async (path: string, options: ReportOptions) => {
      (await import('./report.js')).runReport(path, options);
    });

  reading(program, 'diff')
    .summary('compare two reports: what holds more, what less')
    .description(
      'Compares two reports of the same program. The page shows the flamegraph of the later one, blue where it holds less than the ' +
        'earlier one and red where it holds more; the table has the lines that changed, the largest change first.',
    )
    .argument('<before>', REPORT_ARGUMENT)
    .argument('<after>', 'the same, of the later run')
    .addOption(
      new Option(
        '-f, --format <format>',
        'html: a page, and the table on the terminal; text: the table; json: all lines',
      )
        .choices(DIFF_FORMATS)
        .default('html'),
    )
    .option('-o, --output <file>', 'the page', 'fil-diff.html')
    .option('-n, --lines <number>', 'lines of the table', wholeNumber(1, 1_000_000), 20)
    .addHelpText(
      'after',
      examples([
        [
          'fil-profile diff fil-result/2026-11-22T11-43-47_474 fil-result/2026-11-23T09-02-11_031',
          'fil-diff.html and a table',
        ],
        ['fil-profile diff --format text before/profile.json after/profile.json', 'only the table'],
        ['fil-profile diff --format json before after | jq .peakDeltaBytes', 'for scripts'],
      ]),
    )
    .action(async (before: string, after: string, options: DiffOptions) => {
      (await import('./diff.js')).runDiff(before, after, options);
    });

  reading(program, 'merge')
    .summary('make one report of many')
    .description(
      'Merges the reports of many processes or days, call stack by call stack:\n' +
        '  sum      each at the peak of its own process: what they would hold if all peaks came at one moment, so for processes\n' +
        '           that ran side by side at least what they held together\n' +
        '  largest  of each call stack the most that it held at the peak of any of them: for runs on many days\n' +
        '  mean     the average\n' +
        'The report says which it is. REPORT can also be a directory with reports, as FIL_PROFILE_OUTPUT is.',
    )
    .argument('<report...>', REPORT_ARGUMENT)
    .addOption(new Option('-r, --rule <rule>', 'what the figures are').choices(MERGE_RULES).default('sum'))
    .option('-o, --output <directory>', 'where to write the files; made if it does not exist', 'fil-merged')
    .addHelpText(
      'after',
      examples([
        ['fil-profile merge /reports', 'all workers of a job, side by side'],
        ['fil-profile merge --rule largest monday/* tuesday/* -o week', 'the worst of each line'],
      ]),
    )
    .action(async (paths: readonly string[], options: MergeOptions) => {
      (await import('./merge.js')).runMerge(paths, options);
    });

  reading(program, 'export')
    .summary('write a report in the format of another tool')
    .description(
      'Writes the complete report in a format that other tools read:\n' +
        '  speedscope  JSON for https://www.speedscope.app, which also works offline\n' +
        '  collapsed   a line for each call stack, for flamegraph.pl and inferno, as in peak-memory.prof\n' +
        '  csv         a table of all lines, for spreadsheets and pandas; bytes as whole numbers\n' +
        '  pprof       compressed protocol buffer, for `go tool pprof`',
    )
    .argument('<report>', REPORT_ARGUMENT)
    .addOption(new Option('-f, --format <format>', 'the format').choices(FORMATS).makeOptionMandatory())
    .option('-o, --output <file>', 'the file; - for stdout', '-')
    .addHelpText(
      'after',
      examples([
        ['fil-profile export -f speedscope profile.json -o profile.speedscope.json', ''],
        ['fil-profile export -f collapsed profile.json | inferno-flamegraph > flame.svg', ''],
        ['fil-profile export -f pprof profile.json -o profile.pb.gz && go tool pprof -top profile.pb.gz', ''],
      ]),
    )
    .action(async (path: string, options: ExportOptions) => {
      (await import('./export.js')).runExport(path, options);
    });

  reading(program, 'serve')
    .summary('show reports in the browser of another machine')
    .description(
      'Lists the reports of a directory on a web page, for machines without a browser. It can be reached from this machine only, and ' +
        'only with the token in the address that it prints; to look from elsewhere, make a tunnel: ssh -L 8765:127.0.0.1:8765 MACHINE. ' +
        'Ends with Ctrl-C.',
    )
    .argument('[directory]', 'where the reports are', 'fil-result')
    .option('-p, --port <number>', 'port; 0 for any that is free', wholeNumber(0, 65_535), 8765)
    .addHelpText(
      'after',
      examples([
        ['fil-profile serve', 'the reports in fil-result'],
        ['fil-profile serve --port 0 /data/reports', ''],
      ]),
    )
    .action(async (directory: string, options: { readonly port: number }) => {
      await serveUntilStopped(directory, options.port);
    });

  reading(program, 'recover')
    .summary('make the reports of programs that were killed together with Fil')
    .description(
      'When a whole container is killed, Fil is killed with the program and nobody is left to write a report. What --keep-state (or ' +
        'FIL_KEEP_STATE, for notebooks too) has kept on disk is enough to make it afterwards: elsewhere too, with the same version of Fil.',
    )
    .argument('<directory>', 'the one that --keep-state was given, or one of those in it')
    .option('-o, --output <directory>', 'below which reports are written; made if it does not exist', 'fil-result')
    .option('--remove', 'remove what was kept once its report was written')
    .addHelpText(
      'after',
      examples([
        ['fil-profile run --keep-state /var/tmp/fil script.py', 'keeps the state while the script runs'],
        ['fil-profile recover /var/tmp/fil', 'the report, below fil-result'],
        ['fil-profile recover /var/tmp/fil -o reports --remove', 'somewhere else, and the state is removed'],
      ]),
    )
    .action(async (directory: string, options: RecoverOptions) => {
      await (await import('./recover.js')).runRecover(directory, options);
    });
}

async function serveUntilStopped(directory: string, port: number): Promise<void> {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CommandFailure(
      `${directory} is no directory. Name the one that fil-profile wrote its reports into: fil-profile serve DIRECTORY`,
      USAGE_STATUS,
    );
  }
  const { serve } = await import('./serve.js');
  const { server, url } = await serve(resolve(directory), { port });
  writeOut(`${url}\n`);
  tell('Open this address in a browser; it has a token that nobody else knows. Ctrl-C ends.');
  await new Promise<void>((stopped) => {
    onSignal(() => {
      server.close(() => {
        stopped();
      });
      server.closeAllConnections();
    });
  });
}

/** A command whose failures are one sentence, and whose wrong use ends with status 2, as Python's does. */
function reading(program: Command, name: string): Command {
  const command = program.command(name);
  command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : USAGE_STATUS));
  command.showHelpAfterError(`For all options: fil-profile ${name} --help`);
  command.helpOption('-h, --help', 'show this help and end');
  command.configureHelp({ commandUsage: (of) => `fil-profile ${of.name()} ${of.usage()}` });
  command.hook('preAction', () => {
    // Nothing of ours needs more than to end; a server replaces this by an orderly end.
    onSignal((signal) => {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    });
  });
  return command;
}

/** To be called for what a command throws; true if it was explained. */
export function tellFailure(error: unknown): error is CommandFailure {
  if (!(error instanceof CommandFailure)) {
    return false;
  }
  tell(reasonOf(error));
  return true;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

function examples(lines: readonly (readonly [command: string, meaning: string])[]): string {
  const shown = lines.map(([command, meaning]) => (meaning === '' ? `  ${command}` : `  ${command}\n      ${meaning}`));
  return `\nExamples:\n${shown.join('\n')}\n\nExit status: 0; 1 if a report can't be read or a file can't be written; 2 if the command line is wrong.`;
}
