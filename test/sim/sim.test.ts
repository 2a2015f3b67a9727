import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { after, describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Dice } from './dice.ts'
import { mutations } from './mutations.ts'
import type { WorldKind } from './swarm.ts'
import type { WorkerAnswer, WorkerRequest } from './worker.ts'

const freshSeeds = 200
const freshGroupSeeds = 40
/** The most seeds a mutation may take to be noticed. If one takes more, improve the schedule. */
const mutationSeedsMax = 500
const mutationRoot = 3

const root = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`root seed ${root} (replay: SEED=${root} node --test test/sim/sim.test.ts)`)

const worker = new Worker(new URL('./worker.ts', import.meta.url))
after(() => worker.terminate())

async function simulate(request: WorkerRequest): Promise<WorkerAnswer> {
  worker.postMessage(request)
  const [answer] = (await once(worker, 'message')) as [WorkerAnswer]
  return answer
}

async function assertSound(seed: number, kind: WorldKind): Promise<void> {
  const { violation, tail } = await simulate({ seed, kind })
  const replay = `SEED=${seed} npm run sim${kind === 'groups' ? ' -- --groups' : ''}`
  if (violation !== undefined) assert.fail(`${violation}\n${tail}\nreplay: ${replay}`)
}

/** Kept seeds: number, kind of world where it is not the log, date, what it found. */
async function assertKept(kind: WorldKind): Promise<void> {
  const lines = readFileSync(new URL('./seeds.txt', import.meta.url), 'utf8').split('\n')
  const kept = lines.filter((line) => /^\d/.test(line) && (kind === 'groups') === /^\d+ +groups /.test(line))
  assert.ok(kept.length > 0)
  for (const line of kept) await assertSound(Number.parseInt(line, 10), kind)
}

async function assertFresh(count: number, kind: WorldKind): Promise<void> {
  const seeds = new Dice(root)
  for (let index = 0; index < count; index++) await assertSound(seeds.seed32(), kind)
}

async function assertSame(count: number, kind: WorldKind): Promise<void> {
  const seeds = new Dice(root ^ 1)
  for (let index = 0; index < count; index++) {
    const seed = seeds.seed32()
    const first = await simulate({ seed, kind })
    const second = await simulate({ seed, kind })
    assert.ok(first.lines > 20)
    assert.equal(second.hash, first.hash, `seed ${seed}`)
  }
}

describe('the log, simulated', () => {
  it('keeps its invariants with the seeds that once broke them', () => assertKept('log'))
  it(`keeps its invariants with ${freshSeeds} fresh seeds of root ${root}`, () => assertFresh(freshSeeds, 'log'))
  it('has the same history, byte for byte, when a seed is run again', () => assertSame(12, 'log'))
})

describe('consumer groups, simulated', () => {
  it('keep their invariants with the seeds that once broke them', () => assertKept('groups'))
  it(`keep their invariants with ${freshGroupSeeds} fresh seeds of root ${root}`, () =>
    assertFresh(freshGroupSeeds, 'groups'))
  it('have the same history, byte for byte, when a seed is run again', () => assertSame(4, 'groups'))
})

describe('the simulation notices', () => {
  for (const mutation of Object.keys(mutations))
    it(mutation, async (test) => {
      const seeds = new Dice(mutationRoot)
      for (let tried = 1; tried <= mutationSeedsMax; tried++) {
        const { violation } = await simulate({ seed: seeds.seed32(), mutation })
        if (violation === undefined) continue
        test.diagnostic(`${tried} seeds; ${violation.split('\n')[0]}`)
        return
      }
      assert.fail(`${mutationSeedsMax} seeds, and nothing was found`)
    })
})
