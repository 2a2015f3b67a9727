/** Heads, their commands and references, as short as a line of a history has room for. */
import type { Head, HeadCommand, HeadKey } from '../../lib/core/head.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'

export function short(key: HeadKey): string {
  return `${key.topicId.slice(0, 4)}/${key.partition}`
}

export function shortRef(ref: ChunkReference): string {
  const [segment = '', position] = ref.split('.')
  return `${segment.slice(5, 14)}.${position}`
}

export function describeHead(head: Head): string {
  const lease = head.lease === undefined ? '' : ` lease=${head.lease.owner}${head.lease.isExclusive ? '!' : ''}`
  return `hw=${head.hw} start=${head.start} tail=${Object.keys(head.tail).length} rolls=${head.rolls} boundary=${head.boundary} epoch=${head.leaseEpoch}${lease}`
}

export function describeCommand(command: HeadCommand): string {
  switch (command.kind) {
    case 'append': {
      const chunks = command.chunks.map(
        ({ ref, count, producer }) =>
          `${shortRef(ref)}x${count}${producer === undefined ? '' : ` ${producer.home} ${producer.key}/${producer.claim.epoch}/${producer.claim.first}`}`,
      )
      const hw = command.expectedHw === undefined ? '' : ` hw=${command.expectedHw}`
      const epoch = command.leaderEpoch === undefined ? ` epoch=${command.leaseSeen}` : ` leader=${command.leaderEpoch}`
      return `append seen=${command.seen}${hw}${epoch} ${chunks.join(', ')}`
    }
    case 'roll':
      return `roll ${command.generation} of ${command.refs.length}`
    case 'evict':
      return `evict ${command.producer}`
    case 'forget':
      return `forget below ${command.producerFloor}`
    case 'trim':
      return `trim ${command.start}`
    case 'fence':
      return `fence ${command.minSegment.slice(0, 9)}`
    case 'clean':
      return `clean ${command.from} to ${command.to}`
    case 'mark-deleted':
      return 'mark-deleted'
    case 'lease':
      return `lease ${command.act} ${command.claim.owner} of ${command.claim.seenEpoch}`
    default:
      return command satisfies never
  }
}
