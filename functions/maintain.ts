/** Upkeep, on a schedule: one round over all partitions. */
import { maintainFunction } from './environment.ts'

export const handler = maintainFunction()
