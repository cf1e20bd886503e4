/** A command that can't do what it was asked for: one sentence for the user, and the exit status. */

/** 2: the command line is wrong, or names what is not there. 1: what it names can't be read or written. */
export type FailureStatus = 1 | 2;

export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly status: FailureStatus;

  constructor(message: string, status: FailureStatus) {
    super(message);
    this.status = status;
  }
}
