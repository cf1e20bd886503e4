/** A start that can't succeed: one line for the user, who reads it in Jupyter's log. What happened, the values, what to do. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}

/** The text of anything that was thrown, on one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
