/**
 * There are no brokers behind this log. The conventions want one, so there is broker 0: it leads every partition, and is
 * its only replica, in sync. How often the bytes are kept is the object store's affair.
 */
import { shown } from './v2-embedded.ts'

/** The one broker that the Kafka REST faces speak of. */
export const brokerId = 0

/** What Kafka's tools send for "the default". */
const replicationFactorDefault = -1
const replicationFactorMax = 32_767

/**
 * A replication factor is checked as Kafka checks it and then has no effect: what the answers say is 1, the one broker.
 * @returns the sentence that says what is wrong with it
 */
export function wrongReplicationFactor(value: unknown): string | undefined {
  if (value === undefined || value === null || value === replicationFactorDefault) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= replicationFactorMax)
    return undefined
  return `replication_factor must be a whole number from 1 to ${replicationFactorMax}, or -1 for the default, not ${shown(value)}.`
}
