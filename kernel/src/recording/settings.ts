/** What the environment of a job says about its reports. A setting that makes no sense is as if it were not there: jobs go on. */
import { basename } from 'node:path';
import type { Job } from '../../../schema/report.js';

export interface Settings {
  /** Directory below which reports are written. */
  readonly output: string;
  /** How many of a process's reports on a timer stay; the older ones go. */
  readonly keep: number;
  /** Most that all reports of the directory may take, in bytes; the oldest go. */
  readonly diskBytes: number;
}

const USUAL_KEEP = 3;
const USUAL_DISK_BYTES = 512 * 2 ** 20;

/** @param environment of the job. */
export function settingsOf(environment: NodeJS.ProcessEnv): Settings {
  return {
    output: given(environment, 'FIL_PROFILE_OUTPUT') ?? 'fil-result',
    keep: wholeNumber(environment['FIL_PROFILE_KEEP'], USUAL_KEEP),
    diskBytes: wholeNumber(environment['FIL_PROFILE_DISK'], USUAL_DISK_BYTES),
  };
}

/** An empty variable is none. */
function given(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = environment[name];
  return value === '' ? undefined : value;
}

function wholeNumber(text: string | undefined, usual: number): number {
  return text !== undefined && /^\d+$/.test(text) ? Math.max(1, Number(text)) : usual;
}

/** What schedulers tell their jobs about themselves: the variable, and the label that it becomes. */
const KNOWN_LABELS: readonly (readonly [variable: string, label: string])[] = [
  ['AIRFLOW_CTX_DAG_ID', 'dag'],
  ['AIRFLOW_CTX_TASK_ID', 'task'],
  ['AIRFLOW_CTX_DAG_RUN_ID', 'run'],
  ['AIRFLOW_CTX_TRY_NUMBER', 'try'],
  ['POD_NAME', 'pod'],
  ['POD_NAMESPACE', 'namespace'],
  ['SLURM_JOB_ID', 'slurm-job'],
  ['CI_JOB_ID', 'ci-job'],
  ['GITHUB_RUN_ID', 'github-run'],
  ['INVOCATION_ID', 'systemd-invocation'],
];

/** Options of Python that take an argument of their own. */
const WITH_ARGUMENT = new Set(['-W', '-X', '--check-hash-based-pycs']);

/** The job by FIL_PROFILE_JOB, or by the program that it runs; FIL_PROFILE_LABELS is `name=value,name=value`. */
export function jobOf(
  environment: NodeJS.ProcessEnv,
  { command, host, pid }: { readonly command: readonly string[]; readonly host: string; readonly pid: number },
): Job {
  const labels: Record<string, string> = {};
  for (const [variable, label] of KNOWN_LABELS) {
    const value = environment[variable];
    if (value) {
      labels[label] = value;
    }
  }
  for (const pair of (environment['FIL_PROFILE_LABELS'] ?? '').split(',')) {
    const [name = '', ...value] = pair.split('=');
    if (name.trim() !== '') {
      labels[name.trim()] = value.join('=').trim();
    }
  }
  return { name: given(environment, 'FIL_PROFILE_JOB') ?? labels['task'] ?? programOf(command), host, pid, labels };
}

/** `report.py` of `python -u /jobs/report.py --day 3`, `package.module` of `python -m package.module`. */
export function programOf([, ...command]: readonly string[]): string {
  for (let index = 0; index < command.length; index++) {
    const argument = command[index] ?? '';
    if (argument === '-c' || argument === '-') {
      return 'python';
    }
    if (argument === '-m') {
      return command[index + 1] ?? 'python';
    }
    if (WITH_ARGUMENT.has(argument)) {
      index += 1;
    } else if (!argument.startsWith('-')) {
      return basename(argument);
    }
  }
  return 'python';
}
