import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemDisk } from '../../lib/adapters/local/disk.ts'
import { openLocalObjects } from '../../lib/adapters/local/objects.ts'
import { segmentPrefixes } from '../../lib/core/names.ts'
import { objectsConformance } from '../conformance/objects.ts'

objectsConformance('local files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-objects-'))
  const objects = await openLocalObjects(systemDisk, join(directory, 'objects'), segmentPrefixes)
  return {
    objects,
    async close() {
      await objects.close()
      await rm(directory, { recursive: true })
    },
  }
})
