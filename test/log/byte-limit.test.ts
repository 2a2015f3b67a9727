import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ByteLimit } from '../../lib/log/byte-limit.ts'

describe('a limit of bytes', () => {
  test('lets in what fits, in order, and what is too large alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 40 }), async (sizes) => {
        const limit = new ByteLimit(20)
        const begun: number[] = []
        let inside = 0
        let count = 0
        await Promise.all(
          sizes.map((bytes, index) =>
            limit.run(bytes, async () => {
              begun.push(index)
              inside += bytes
              count++
              const isOver = inside > 20
              assert.ok(!isOver || count === 1 || inside === bytes)
              for (let turn = 0; turn < (index % 3) + 1; turn++) await undefined
              inside -= bytes
              count--
            }),
          ),
        )
        assert.deepEqual(begun, [...sizes.keys()])
      }),
    )
  })

  test('is as free as before when work inside it failed', async () => {
    const limit = new ByteLimit(20)
    await assert.rejects(
      limit.run(20, async () => {
        throw new Error('no')
      }),
    )
    assert.equal(await limit.run(20, async () => 'in'), 'in')
  })
})
