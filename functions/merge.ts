/** Merges, soon after rows came to a partition: the table's stream tells of them. */
import { partsOf } from './environment.ts'
import { composeMerge } from './upkeep.ts'

export const handler = composeMerge(partsOf('merge'))
