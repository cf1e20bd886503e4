/**
 * Which variables hold the kernel's memory: asked of `filprofiler/_variables.py`.
 */
import type { Kernel } from '@jupyterlab/services';
import * as z from 'zod/mini';
import { Variable as ReportedVariable } from '../../../schema/observed.js';
import { say } from '../../../schema/words.js';

const bytes = z.int().check(z.minimum(0));

/** As in a report, and the id of the notebook's cell that made it, where it is known. */
const VariableNow = z.extend(ReportedVariable, { cellId: z.nullable(z.string()) });
export type Variable = z.infer<typeof VariableNow>;

const VariablesReply = z.object({
  residentBytes: z.nullable(bytes),
  /** Most bytes first. Names of one object stand together. */
  variables: z.array(VariableNow),
});
export type Variables = z.infer<typeof VariablesReply>;

const ExpressionReply = z.object({ data: z.object({ 'application/json': VariablesReply }) });

/** An expression, as it runs no cell: no number, no history, no effect on the notebook's variables. */
const EXPRESSION = "__import__('filprofiler._variables', fromlist=['sizes']).sizes()";

/** @throws {Error} with a sentence for the reader, if the kernel doesn't tell. */
export async function readVariables(kernel: Kernel.IKernelConnection): Promise<Variables> {
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    user_expressions: { variables: EXPRESSION },
    allow_stdin: false,
    stop_on_error: false,
  });
  const { content } = await future.done;
  const expressions = content.status === 'ok' ? content.user_expressions : undefined;
  const reply = ExpressionReply.safeParse(expressions?.['variables']);
  if (!reply.success) {
    throw new Error(say('The kernel did not tell its variables. Restart it and try again.'));
  }
  return reply.data.data['application/json'];
}
