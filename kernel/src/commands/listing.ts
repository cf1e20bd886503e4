/** The page of `fil-profile serve` that lists the reports. */
import { escapeUTF8 } from 'entities/escape';
import { displayable } from '../report/text.js';
import type { ListedReport } from './served-files.js';

const LONGEST_PATH = 500;
const STYLE = `
:root { color-scheme: light dark }
body { font: 14px/1.5 system-ui, sans-serif; margin: 24px; max-width: 72em }
td { padding: 2px 20px 2px 0; vertical-align: top }
a { margin-right: 10px }
`;

export function listingPage(directory: string, reports: readonly ListedReport[]): string {
  const rows = reports.map(({ path, files, writtenAt }) => {
    const links = files.map((name) => `<a href="${address(path, name)}">${escapeUTF8(name)}</a>`);
    return `<tr><td>${shown(path === '' ? '.' : path)}</td><td>${writtenAt.toLocaleString()}</td><td>${links.join(' ')}</td></tr>`;
  });
  const content =
    rows.length === 0
      ? '<p>There is no report here yet. <code>fil-profile run script.py</code> writes one into <code>fil-result</code>.</p>'
      : `<table><tbody>${rows.join('\n')}</tbody></table>`;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Fil: reports in ${shown(directory)}</title><style>${STYLE}</style></head>
<body><h1>Reports in ${shown(directory)}</h1>
${content}
</body>
</html>
`;
}

function shown(path: string): string {
  return escapeUTF8(displayable(path, LONGEST_PATH));
}

function address(path: string, name: string): string {
  const parts = [...path.split('/'), name].filter((part) => part !== '');
  return escapeUTF8(`/${parts.map(encodeURIComponent).join('/')}`);
}
