/**
 * The contracts as JSON Schema, for tools in other languages: the Python side's messages are tested against it.
 */
import * as z from 'zod/mini';
import { elementOf } from './column-schema.js';
import { ControlReply, ControlRequest, ProfileRequest } from './control.js';
import { Report, ReportEnvelope } from './report.js';

/** File name in this folder to its content. `npm run schema` writes them; a test fails when they are stale. */
export function jsonSchemas(): Record<string, unknown> {
  return {
    'report.schema.json': document('A memory profile and its envelope in a notebook', { Report, ReportEnvelope }),
    'control.schema.json': document('Messages between the profiled process, Fil and front ends', {
      ControlRequest,
      ControlReply,
      ProfileRequest,
    }),
  };
}

function document(title: string, types: Readonly<Record<string, z.ZodMiniType>>): unknown {
  const definitions = Object.entries(types).map(([name, type]): [string, unknown] => [name, toJsonSchema(type)]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title,
    $defs: Object.fromEntries(definitions),
    anyOf: Object.keys(types).map((name) => ({ $ref: `#/$defs/${name}` })),
  };
}

function toJsonSchema(type: z.ZodMiniType): unknown {
  return z.toJSONSchema(type, {
    // Of the input: readers ignore members that they don't know.
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const element = elementOf(zodSchema);
      if (element !== undefined) {
        const array = z.toJSONSchema(z.array(element), { io: 'input' });
        delete array.$schema;
        Object.assign(jsonSchema, array);
      }
    },
  });
}
