/** Prints the gettext template of everything that the extension says: `npm run --silent catalog > filprofiler.pot`. */
import { catalog } from './lib/sentences.mjs';

process.stdout.write(catalog());
