import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { jsonSchemas } from '../json-schema.js';

test.each(Object.entries(jsonSchemas()))('%s is up to date (npm run schema)', (name, content) => {
  const written: unknown = JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
  expect(written).toEqual(JSON.parse(JSON.stringify(content)));
});
