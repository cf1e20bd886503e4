/** `fil cluster`: puts together what the machines of a cluster have sent to the client. One JSON text on stdin, one on stdout. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import * as z from 'zod/mini';
import type { LineRecord } from '../../../schema/control.js';
import { CellSource } from '../../../schema/control.js';
import { Cluster } from '../../../schema/cluster.js';
import type { Report } from '../../../schema/report.js';
import { ReportEnvelope, Subject } from '../../../schema/report.js';
import { writeOut } from '../commands/say.js';
import { toMimeBundle } from '../output/bundle.js';
import { writeReportFiles } from '../output/files.js';
import { ReportSource } from '../report/build.js';
import { FOR_NOTEBOOKS } from '../report/prune.js';
import { lineRecords, saveReport, unpackReport } from '../stored-report.js';
import { VERSION } from '../version.js';
import { joinMachines } from './join.js';
import { MachineReport } from './machine-report.js';

/** What the machines' reports may take when they are unpacked: V8 holds no longer text. */
const LARGEST_BYTES = 2 ** 29 - 24;

const Request = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('join'),
    subject: Subject,
    title: z.nullable(z.string()),
    outcome: z.enum(['completed', 'error', 'interrupted']),
    cells: z.array(CellSource),
    missing: Cluster.shape.missing,
    /** What each machine has sent, base64. */
    machines: z.array(z.string()),
    client: z.nullable(z.object({ pid: z.int(), report: ReportEnvelope })),
    pythonVersion: z.string(),
    /** For all files of the report, absolute; null for none. */
    outputDirectory: z.nullable(z.string()),
  }),
  z.object({ type: z.literal('lines'), report: ReportEnvelope }),
  z.object({ type: z.literal('save'), report: ReportEnvelope, path: z.string() }),
]);
type Join = Extract<z.infer<typeof Request>, { type: 'join' }>;

interface Answer {
  readonly bundle?: Record<string, unknown>;
  readonly files?: readonly string[];
  readonly filesProblem?: string | null;
  readonly lines?: readonly LineRecord[];
}

export function runCluster(): void {
  const request = Request.parse(JSON.parse(readFileSync(0, 'utf8')));
  writeOut(JSON.stringify(answer(request)));
}

function answer(request: z.infer<typeof Request>): Answer {
  switch (request.type) {
    case 'join':
      return join(request);
    case 'lines':
      return { lines: lineRecords(unpackReport(request.report)) };
    case 'save':
      return { files: saveReport(unpackReport(request.report), request.path) };
  }
}

function join(request: Join): Answer {
  const { client, outputDirectory } = request;
  const machines = request.machines.map((text) => {
    const unpacked = gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: LARGEST_BYTES });
    return MachineReport.parse(JSON.parse(unpacked.toString('utf8')));
  });
  const report: Report = joinMachines(machines, {
    ...request,
    outcome: { kind: request.outcome },
    client: client === null ? null : { pid: client.pid, report: unpackReport(client.report) },
    producer: { name: 'filprofiler', version: VERSION, python: request.pythonVersion },
  });
  const source = ReportSource.ofReport(report);
  const bundle = toMimeBundle(source.report(FOR_NOTEBOOKS));
  if (outputDirectory === null) {
    return { bundle, files: [], filesProblem: null };
  }
  const { files, problems } = writeReportFiles(outputDirectory, source);
  return { bundle, files, filesProblem: problems.length === 0 ? null : problems.join('; ') };
}
