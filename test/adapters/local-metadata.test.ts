import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLocalMetadata } from '../../lib/adapters/local/metadata.ts'
import { metadataConformance } from '../conformance/metadata.ts'

metadataConformance('local database', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-metadata-'))
  const metadata = await openLocalMetadata(join(directory, 'metadata.db'))
  return {
    metadata,
    async close() {
      await metadata.close()
      await rm(directory, { recursive: true })
    },
  }
})
