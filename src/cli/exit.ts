/** What the commands' exit codes say. */
export const exit = {
  ok: 0,
  /** The policy folder has errors and nothing was written, or the record does not verify. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Another push came first. Nothing was written. */
  lost: 3,
  /** wrangler or the Worker failed, or what they talk to. */
  failed: 4,
} as const

/** Ends a command with a message and no stack: something that its user can mend. */
export class CommandError extends Error {
  readonly code: number
  readonly hint: string | undefined
  constructor(message: string, code: number = exit.usage, hint?: string) {
    super(message)
    this.code = code
    this.hint = hint
  }
}
