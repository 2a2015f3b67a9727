/** Where a function process kills itself: see faulty-produce.ts. */

/** The environment variable that names the directory of the files. */
export const killsVariable = 'HIGHWATER_TEST_KILLS'
export const killPoints = ['after-upload', 'after-commit'] as const
export type KillPoint = (typeof killPoints)[number]

/** The stack of faulty-app.ts. */
export const faultyStackName = 'HighwaterFaults'
