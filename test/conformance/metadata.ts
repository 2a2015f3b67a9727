/** What `Metadata` promises (lib/ports.ts), as a suite that every adapter runs. */
import { describe, test } from 'node:test'
import type { Metadata } from '../../lib/ports.ts'
import type { Specify } from './metadata-fixture.ts'
import { specifyHeads, specifyHeadsWithItems } from './metadata-heads.ts'
import { specifyHistories } from './metadata-history.ts'
import { specifyItems, specifyQueries } from './metadata-items.ts'

export interface MetadataUnderTest {
  readonly metadata: Metadata
  close?(): Promise<void>
}

export interface MetadataConformanceOptions {
  /** Random histories; lower where a call costs more. @default 80 */
  readonly histories?: number
}

/** Fixed, so that a run can be repeated; `SEED` names another. */
const seed = Number(process.env.SEED ?? 20_241_121)

/** `factory` may give the same store each time: topics and collections are random, and nothing is expected of others' items. */
export function metadataConformance(
  name: string,
  factory: () => Promise<MetadataUnderTest>,
  { histories = 80 }: MetadataConformanceOptions = {},
): void {
  const specify: Specify = (sentence, run) =>
    test(sentence, async () => {
      const { metadata, close } = await factory()
      try {
        await run(metadata)
      } finally {
        await close?.()
      }
    })
  describe(`metadata: ${name}: heads`, () => specifyHeads(specify))
  describe(`metadata: ${name}: heads and items together`, () => specifyHeadsWithItems(specify))
  describe(`metadata: ${name}: random histories`, () => specifyHistories(specify, histories, seed))
  describe(`metadata: ${name}: items`, () => specifyItems(specify))
  describe(`metadata: ${name}: queries`, () => specifyQueries(specify, histories, seed))
}
