/** The suite of the log's behaviour, over memory and over the local store; and where every small append is an item. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDataDirectory } from '../../lib/adapters/local/data-directory.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { logConformance, recordsConformance } from '../conformance/log.ts'

logConformance('memory', async () => ({
  objects: new MemoryObjects(),
  metadata: new MemoryMetadata(),
  close: async () => {},
}))

recordsConformance('memory, chunks inline', async () => ({
  objects: new MemoryObjects(),
  metadata: new MemoryMetadata(),
  topicConfigs: { 'chunk.placement': 'inline' },
  close: async () => {},
}))

logConformance('local store', async () => {
  const path = await mkdtemp(join(tmpdir(), 'highwater-log-'))
  const directory = await openDataDirectory(path)
  return {
    objects: directory.objects,
    metadata: directory.metadata,
    close: async () => {
      await directory.close()
      await rm(path, { recursive: true })
    },
  }
})
