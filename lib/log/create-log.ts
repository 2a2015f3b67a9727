/** Puts the use cases together: `createLog(ports, settings)` is the whole engine. */
import type { Settings } from '../core/settings.ts'
import type { LogRules } from './context.ts'
import { createEngine } from './engine.ts'
import type { Log, LogPorts } from './log.ts'
import { adminPart } from './part-admin.ts'
import { fetchPart } from './part-fetch.ts'
import { groupsPart } from './part-groups.ts'
import { offsetsPart } from './part-offsets.ts'
import { producePart } from './part-produce.ts'
import { rolledPart } from './part-rolled.ts'
import { sweepPart } from './part-sweep.ts'
import { upkeepPart } from './part-upkeep.ts'
import { usagePart } from './part-usage.ts'
import { verifyPart } from './part-verify.ts'

/**
 * The log over the given ports. Throws where the settings are wrong, all failures in one message. `rules` are replaced by a
 * simulation only, to show that it notices.
 */
export function createLog(ports: LogPorts, settings: Partial<Settings> = {}, rules: Partial<LogRules> = {}): Log {
  const { engine, base } = createEngine(ports, settings, rules)
  return {
    ...base,
    ...producePart(engine),
    ...fetchPart(engine),
    ...offsetsPart(engine),
    ...adminPart(engine),
    ...groupsPart(engine),
    ...upkeepPart(engine),
    ...rolledPart(engine),
    ...sweepPart(engine),
    ...usagePart(engine),
    ...verifyPart(engine),
  }
}
