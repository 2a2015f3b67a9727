import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import type { Objects } from '../../lib/ports.ts'
import { appended, createTopic, readAll, withLog } from '../conformance/log-fixture.ts'

/** Objects one of whose bytes rots on the way to the reader. */
function rotting(objects: Objects, rot: (bytes: Uint8Array) => void): Objects {
  return {
    create: (key, parts) => objects.create(key, parts),
    list: (prefix, after, limit) => objects.list(prefix, after, limit),
    delete: (key) => objects.delete(key),
    async read(key, position, length) {
      const bytes = (await objects.read(key, position, length))?.slice()
      if (bytes !== undefined) rot(bytes)
      return bytes
    },
  }
}

describe('damage in the object store', () => {
  it('is an error that names the chunk, at every byte, and never an answer', async () => {
    let at = -1
    const stores = async () => ({
      objects: rotting(new MemoryObjects(), (bytes) => {
        if (at >= 0 && at < bytes.byteLength) bytes[at]! ^= 0x10
      }),
      metadata: new MemoryMetadata(),
      topicConfigs: { 'chunk.placement': 'segment' },
      close: async () => {},
    })
    await withLog(
      stores,
      async ({ log }) => {
        await createTopic(log)
        await appended(log, ['abc', 'def'])
        const sizeBytes = 61 + 2 * 10
        let refused = 0
        for (at = 0; at < sizeBytes; at++) {
          // The leader epoch, bytes 12 to 15, means nothing here and is under no checksum.
          if (at >= 12 && at <= 15) continue
          await assert.rejects(readAll(log), /damaged chunk [0-9a-z.-]+ at byte/, `byte ${at}`)
          refused++
        }
        assert.equal(refused, sizeBytes - 4)
        at = -1
        assert.deepEqual(await readAll(log), ['abc', 'def'])
      },
      { chunkCacheBytesMax: 0 },
    )
  })
})
