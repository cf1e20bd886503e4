/**
 * Notebooks with stored outputs, as somebody else would have sent them: Jupyter has not signed them, so it doesn't trust them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toMimeBundle } from '../kernel/src/output/bundle.js';
import { parseReport, type Report } from '../schema/report.js';
import { NOTEBOOKS } from './lab-server.js';

/** A report of `schema/fixtures`. */
export function fixture(name: 'small' | 'pandas' | 'processes'): Report {
  const file = new URL(`../schema/fixtures/${name}.json`, import.meta.url);
  return parseReport(JSON.parse(readFileSync(file, 'utf8')));
}

/** Writes a notebook with one cell for each output. */
export function writeNotebook(name: string, bundles: readonly Record<string, unknown>[]): void {
  const cells = bundles.map((data, number) => ({
    cell_type: 'code',
    id: `cell-${number}`,
    execution_count: 7,
    metadata: {},
    source: '%%filprofile\nmerged = flights.merge(weather)',
    outputs: [{ output_type: 'display_data', metadata: {}, data }],
  }));
  const notebook = {
    cells,
    metadata: { kernelspec: { name: 'filprofile', display_name: 'Python 3 with Fil', language: 'python' } },
    nbformat: 4,
    nbformat_minor: 5,
  };
  writeFileSync(join(NOTEBOOKS, name), JSON.stringify(notebook));
}

/** A notebook whose cells show these reports. */
export function writeReports(name: string, reports: readonly Report[]): void {
  writeNotebook(name, reports.map(toMimeBundle));
}
