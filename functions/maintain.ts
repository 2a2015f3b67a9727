/** Upkeep, on a schedule: one round over all partitions and groups. */
import { partsOf } from './environment.ts'
import { composeMaintain } from './upkeep.ts'

export const handler = composeMaintain(partsOf('maintain'))
