/** Tests of the suites that are left out, each with its reason. The runner says so at the end of every run. */
export interface LeftOut {
  /** Of the whole name, that of the group before that of the test. */
  readonly tests: RegExp
  readonly reason: string
}

export const deviations: readonly LeftOut[] = [
  {
    tests: /DynamoDB on LocalStack: heads 200 appends at once/,
    reason:
      'When 64 connections are opened at once, its gateway takes longer to accept them than the adapter waits (2 s).',
  },
]

/** What is said of an engine that is slow, where `--all` was not given. */
export const slowReason =
  'left out: the log, its costs and its faults; the engine takes minutes for them (--all runs them)'
