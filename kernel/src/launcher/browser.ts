/** Shows a report in the user's browser. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { pathToFileURL } from 'node:url';

/** `auto`: if somebody is likely to look, that is, at a terminal with a graphical display. */
export type BrowserChoice = 'auto' | 'always' | 'never';

const STDERR = 2;

export function wantsBrowser(choice: BrowserChoice): boolean {
  switch (choice) {
    case 'always':
      return true;
    case 'never':
      return false;
    case 'auto':
      return isatty(STDERR) && Boolean(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY']);
  }
}

/** Opens a file through Python's webbrowser, which knows the desktops and BROWSER; outlives us. */
export function openInBrowser(python: string, file: string): void {
  const browser = spawn(python, ['-I', '-m', 'webbrowser', '-t', pathToFileURL(resolve(file)).href], {
    detached: true,
    stdio: 'ignore',
  });
  browser.on('error', () => undefined);
  browser.unref();
}
