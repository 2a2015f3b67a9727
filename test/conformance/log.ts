/** The behaviour of the log, whatever stores are under it. */
import { appendSuite } from './log-append.ts'
import { compactionSuite } from './log-compaction.ts'
import { fetchSuite } from './log-fetch.ts'
import { fetchManySuite } from './log-fetch-many.ts'
import type { StoresFactory } from './log-fixture.ts'
import { groupAdminSuite } from './log-group-admin.ts'
import { groupOffsetSuite } from './log-group-offsets.ts'
import { groupSuite } from './log-groups.ts'
import { instanceSuite } from './log-instances.ts'
import { leaseSuite } from './log-leases.ts'
import { producerSuite } from './log-producers.ts'
import { topicSuite } from './log-topics.ts'
import { upkeepSuite } from './log-upkeep.ts'

export function logConformance(name: string, factory: StoresFactory): void {
  topicSuite(name, factory)
  recordsConformance(name, factory)
  leaseSuite(name, factory)
  groupSuite(name, factory)
  groupOffsetSuite(name, factory)
  groupAdminSuite(name, factory)
  instanceSuite(name, factory)
}

/** As far as it depends on where the bytes of records lie. */
export function recordsConformance(name: string, factory: StoresFactory): void {
  appendSuite(name, factory)
  producerSuite(name, factory)
  fetchSuite(name, factory)
  fetchManySuite(name, factory)
  upkeepSuite(name, factory)
  compactionSuite(name, factory)
}
