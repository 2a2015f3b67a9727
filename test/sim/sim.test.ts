import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { Dice } from './dice.ts'
import { mutations } from './mutations.ts'
import type { Outcome } from './simulate.ts'
import { simulate } from './simulate.ts'
import { describeSwarm } from './swarm.ts'

const codecs = nodeCodecs
const freshSeeds = 150
/** The most seeds a mutation may take to be noticed. If one takes more, improve the schedule. */
const mutationSeedsMax = 500

const root = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`root seed ${root} (replay: SEED=${root} node --test test/sim/sim.test.ts)`)

function assertSound(outcome: Outcome): void {
  if (outcome.violation === undefined) return
  const tail = outcome.lines.slice(-40).join('\n')
  assert.fail(
    `${outcome.violation}\n${tail}\n${describeSwarm(outcome.swarm)}\nreplay: SEED=${outcome.seed} npm run sim`,
  )
}

describe('the log, simulated', () => {
  it('keeps its invariants with the seeds that once broke them', async () => {
    const lines = readFileSync(new URL('./seeds.txt', import.meta.url), 'utf8').split('\n')
    const seeds = lines.filter((line) => /^\d/.test(line)).map((line) => Number.parseInt(line, 10))
    assert.ok(seeds.length > 0)
    for (const seed of seeds) assertSound(await simulate(seed, { codecs }))
  })

  it(`keeps its invariants with ${freshSeeds} fresh seeds of root ${root}`, async () => {
    const seeds = new Dice(root)
    for (let index = 0; index < freshSeeds; index++) assertSound(await simulate(seeds.int(0, 2 ** 32 - 1), { codecs }))
  })

  it('has the same history, byte for byte, when a seed is run again', async () => {
    const seeds = new Dice(root ^ 1)
    for (let index = 0; index < 12; index++) {
      const seed = seeds.int(0, 2 ** 32 - 1)
      const first = await simulate(seed, { codecs })
      const second = await simulate(seed, { codecs })
      assert.ok(first.lines.length > 20)
      assert.equal(second.hash(), first.hash(), `seed ${seed}`)
    }
  })
})

describe('the simulation notices', () => {
  for (const [name, mutation] of Object.entries(mutations))
    it(name, async (test) => {
      const seeds = new Dice(1)
      for (let tried = 1; tried <= mutationSeedsMax; tried++) {
        const seed = seeds.int(0, 2 ** 32 - 1)
        const { violation } = await simulate(seed, { codecs, mutation })
        if (violation === undefined) continue
        test.diagnostic(`${tried} seeds; ${violation.split('\n')[0]}`)
        return
      }
      assert.fail(`${mutationSeedsMax} seeds, and nothing was found`)
    })
})
