/** The part of a log that looks after partitions to which rows came, and nothing else. */
import { countedAs, type Engine } from './engine.ts'
import type { Log } from './log.ts'
import { Upkeep } from './upkeep.ts'

export function rolledPart(whole: Engine): Pick<Log, 'maintainRolled'> {
  const engine = countedAs('upkeep', whole)
  const upkeep = new Upkeep(engine)
  // Whatever of this is left undone, or done twice, changes nothing that anybody sees.
  return {
    maintainRolled: (rolled, signal) =>
      engine.answer(
        async () => ({ ok: true, ...(await upkeep.maintainRolled(rolled, engine.ending(signal))) }),
        'unseen',
      ),
  }
}
