/** `npm run sim -- --seeds N [--seed S]`: many histories, the root seed first. A violation ends it, with the seed to replay and the end of its history. */
import { parseArgs } from 'node:util'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { Dice } from './dice.ts'
import { mutations } from './mutations.ts'
import type { Outcome } from './simulate.ts'
import { simulate } from './simulate.ts'
import { describeSwarm } from './swarm.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    /** The root that the seeds of a run come from. */
    seed: { type: 'string' },
    /** Lines of the history to show. */
    tail: { type: 'string', default: '60' },
    /** Actors and faults to leave out, by name, separated by commas. */
    without: { type: 'string', default: '' },
    effort: { type: 'string' },
    mutation: { type: 'string' },
    /** Go on after a violation and count them. */
    all: { type: 'boolean', default: false },
  },
})

const mutation = values.mutation === undefined ? undefined : mutations[values.mutation]
if (values.mutation !== undefined && mutation === undefined)
  throw new Error(`no mutation ${values.mutation}; there are: ${Object.keys(mutations).join(', ')}`)
const options = {
  codecs: nodeCodecs,
  without: new Set(values.without.split(',')),
  ...(values.effort === undefined ? {} : { effort: Number(values.effort) }),
  ...(mutation === undefined ? {} : { mutation }),
}

function show(outcome: Outcome, lines: number): void {
  console.log(outcome.lines.slice(-lines).join('\n'))
  console.log(`\n${outcome.violation ?? 'no violation'}`)
  console.log(describeSwarm(outcome.swarm))
  console.log(`seed ${outcome.seed} (replay: SEED=${outcome.seed} npm run sim)`)
}

if (process.env.SEED !== undefined) {
  const outcome = await simulate(Number(process.env.SEED), options)
  show(outcome, process.env.TAIL === undefined ? Number(values.tail) : Number(process.env.TAIL))
  process.exitCode = outcome.violation === undefined ? 0 : 1
} else {
  const root = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
  console.log(`root seed ${root} (again: npm run sim -- --seed ${root} --seeds ${values.seeds})`)
  const seeds = new Dice(root)
  const faults = new Map<string, number>()
  const sums = { histories: 0, events: 0, calls: 0, commits: 0, records: 0, violations: 0 }
  const began = performance.now()
  for (let index = 0; index < Number(values.seeds); index++) {
    const outcome = await simulate(seeds.int(0, 2 ** 32 - 1), options)
    sums.histories++
    for (const name of ['events', 'calls', 'commits', 'records'] as const) sums[name] += outcome[name]
    for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count)
    if (outcome.violation !== undefined) {
      sums.violations++
      if (values.all) console.log(`seed ${outcome.seed}: ${outcome.violation.split('\n')[0]}`)
      else {
        show(outcome, Number(values.tail))
        process.exitCode = 1
        break
      }
    }
  }
  const seconds = (performance.now() - began) / 1000
  console.log(JSON.stringify(sums), `${(sums.histories / seconds).toFixed(1)} histories/s`)
  console.log('faults', JSON.stringify(Object.fromEntries([...faults].sort())))
}
