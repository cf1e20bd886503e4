/** `npm run schema`: writes the JSON Schemas of the contracts anew, from schema/*.ts. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { LOGS, at, shown } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';

await script(async () => {
  await run(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-b', at('schema')], {
    log: path.join(LOGS, 'schema.log'),
  });
  /** @type {{ jsonSchemas(): Record<string, unknown> }} */
  const { jsonSchemas } = await import(pathToFileURL(at('build', 'ts', 'schema', 'json-schema.js')).href);
  for (const [name, content] of Object.entries(jsonSchemas())) {
    const file = at('schema', name);
    writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
    console.log(`Wrote ${shown(file)}`);
  }
});
