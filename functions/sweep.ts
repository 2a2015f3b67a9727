/** The sweep, on a schedule: the only function whose role may delete objects. */
import { partsOf } from './environment.ts'
import { composeSweep } from './upkeep.ts'

export const handler = composeSweep(partsOf('sweep'))
