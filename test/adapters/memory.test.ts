import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { objectsConformance } from '../conformance/objects.ts'

objectsConformance('memory', async () => ({ objects: new MemoryObjects() }))
metadataConformance('memory', async () => ({ metadata: new MemoryMetadata() }))
