/** A process composed as the functions are, that does as it is told, line by line on its standard input: leads, and appends. */
import { createInterface } from 'node:readline'
import { awsPorts, readEnvironment } from '../../../functions/environment.ts'
import { encodeBatch } from '../../../lib/core/record-batch.ts'
import { createLog } from '../../../lib/log/create-log.ts'

export type Order =
  | { readonly do: 'acquire'; readonly topic: string; readonly owner: string }
  | { readonly do: 'renew'; readonly topic: string; readonly owner: string; readonly epoch: number }
  | { readonly do: 'append'; readonly topic: string; readonly value: string; readonly leaderEpoch?: number }

const environment = readEnvironment(process.env)
const ports = awsPorts(environment)
const log = createLog(ports, environment.settings)
const partition = 0

process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await carryOut(JSON.parse(line) as Order)
  await log.settled()
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

function carryOut(order: Order): Promise<object> {
  switch (order.do) {
    case 'acquire':
      return log.acquireLease(order.topic, partition, order.owner, true)
    case 'renew':
      return log.renewLease(order.topic, partition, order.owner, order.epoch)
    case 'append': {
      const record = { key: null, value: new TextEncoder().encode(order.value), timestampMs: Date.now() }
      const batches = encodeBatch({ records: [record], compression: 'none' }, ports.codecs)
      const { topic, leaderEpoch } = order
      return log.append({ topic, partition, batches, ...(leaderEpoch === undefined ? {} : { leaderEpoch }) })
    }
    default:
      return order satisfies never
  }
}
