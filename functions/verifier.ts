/** A verification straight on the stores, without a server: of a copy before it is used, of what was restored. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { nativeCodecs } from '../lib/adapters/codecs-native.ts'
import { systemClock, systemRandom } from '../lib/adapters/system.ts'
import type { VerifyPlace, VerifySource } from '../lib/cli/io.ts'
import { createPartOfLog } from '../lib/log/engine.ts'
import { verifyPart } from '../lib/log/part-verify.ts'
import { StartError, storesOf } from './server.ts'

/** @throws StartError: a data directory that cannot be had, or is none */
export async function openVerifier(place: VerifyPlace, endpoint: string | undefined): Promise<VerifySource> {
  // Opening would make one.
  if ('dataDir' in place && !existsSync(join(place.dataDir, 'metadata.db')))
    throw new StartError(`${place.dataDir} is no data directory: there is no metadata.db in it.`)
  const { objects, metadata, close } = await storesOf(
    'dataDir' in place ? place : { aws: { ...place, ...(endpoint === undefined ? {} : { endpoint }) } },
  )
  const ports = { objects, metadata, clock: systemClock, random: systemRandom, codecs: nativeCodecs }
  const log = createPartOfLog(ports, {}, [verifyPart])
  return {
    topics: (after) => told(() => log.verifyTopics(after)),
    partition: (topic, partition, options) => told(() => log.verifyPartition({ topic, partition, ...options })),
    leftovers: () => told(() => log.verifyLeftovers()),
    async close() {
      await log.close()
      await close()
    },
  }
}

/** What a store cannot even hand out is for the user to know, not a bug of the command. */
async function told<Answer>(work: () => Promise<Answer>) {
  try {
    return await work()
  } catch (error) {
    const message = `What is stored cannot be read: ${error instanceof Error ? error.message : error}`
    return { ok: false, code: 'INTERNAL', message } as const
  }
}
