/**
 * The produce function as it is deployed, over stores that fail: composed here and nowhere else, and never in a bundle that
 * is deployed for real.
 *
 * - Requests are lost, answered late or not at all, as the faulty adapter has it.
 * - The process kills itself where a file says so: `after-upload`, the records are durable and nothing is committed;
 *   `after-commit`, the records are readable and nobody was told. Whoever takes the file away is the one that dies.
 */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { awsPorts, composeHandler, readEnvironment } from '../../../functions/environment.ts'
import { Telemetry } from '../../../functions/telemetry.ts'
import { type FaultRates, faultyMetadata, faultyObjects } from '../../../lib/adapters/faulty.ts'
import { systemRandom } from '../../../lib/adapters/system.ts'
import { produceRoutes } from '../../../lib/http/produce-routes.ts'
import type { LogPorts } from '../../../lib/log/log.ts'
import { producePart } from '../../../lib/log/part-produce.ts'
import { type KillPoint, killsVariable } from './kills.ts'

const rates: FaultRates = { refuse: 0.02, 'lose-answer': 0.02, 'repeat-at-once': 0.02, fail: 0.01 }

const environment = readEnvironment(process.env)
const ports = awsPorts(environment)

export const handler = composeHandler(
  {
    ...environment,
    name: 'produce',
    ports: mortal({ ...ports, ...failing(ports) }),
    telemetry: new Telemetry('produce'),
  },
  { log: [producePart], routes: produceRoutes },
)

function failing({ objects, metadata }: LogPorts): Pick<LogPorts, 'objects' | 'metadata'> {
  const options = {
    rates: () => rates,
    sleep: async (durationMs: number) => {
      await sleep(durationMs)
    },
    random: systemRandom,
    timeoutMs: [1, 100] as const,
  }
  return { objects: faultyObjects(objects, options), metadata: faultyMetadata(metadata, options) }
}

function mortal(of: LogPorts): LogPorts {
  const { objects, metadata } = of
  return {
    ...of,
    objects: {
      ...objects,
      create: async (key, parts) => {
        const created = await objects.create(key, parts)
        dieAt('after-upload')
        return created
      },
    },
    metadata: {
      ...metadata,
      write: async (writes) => {
        const answer = await metadata.write(writes)
        if (writes.some(({ key }) => key.collection.startsWith('inline/'))) dieAt('after-upload')
        return answer
      },
      updateHead: async (key, command, also) => {
        const answer = await metadata.updateHead(key, command, also)
        if (command.kind === 'append' && answer.applied) dieAt('after-commit')
        return answer
      },
    },
  }
}

function dieAt(point: KillPoint): void {
  const file = join(process.env[killsVariable] ?? '', point)
  try {
    renameSync(file, `${file}.taken`)
  } catch {
    return
  }
  process.kill(process.pid, 'SIGKILL')
}
