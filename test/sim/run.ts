/**
 * `npm run sim -- --seeds N [--seed S]`: many histories, the root seed first. A violation ends it, with the seed to replay
 * and the end of its history. `SEED=n npm run sim` replays one; `--minimise` leaves out what it does not need.
 */
import { parseArgs } from 'node:util'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { faultKinds } from '../../lib/adapters/faulty.ts'
import { Dice } from './dice.ts'
import { mutations } from './mutations.ts'
import type { Outcome, SimulateOptions } from './simulate.ts'
import { simulate } from './simulate.ts'
import { actorKinds, describeSwarm } from './swarm.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    /** The root that the seeds of a run come from. */
    seed: { type: 'string' },
    /** Lines of the history to show. */
    tail: { type: 'string', default: '60' },
    /** What to leave out, separated by commas: actors, faults, `disk`, `disk-faults`, `blight`, `lull`, `rows-again`, `long`, `compaction`. */
    without: { type: 'string', default: '' },
    /** How much the actors do, instead of what the seed says. */
    effort: { type: 'string' },
    /** Worlds of consumer groups instead of those of the log alone. */
    groups: { type: 'boolean', default: false },
    /** One of mutations.ts. */
    mutation: { type: 'string' },
    /** Go on after a violation, and list them. */
    all: { type: 'boolean', default: false },
    minimise: { type: 'boolean', default: false },
  },
})

const mutation = values.mutation === undefined ? undefined : mutations[values.mutation]
if (values.mutation !== undefined && mutation === undefined)
  throw new Error(`no mutation ${values.mutation}; there are: ${Object.keys(mutations).join(', ')}`)
const options: SimulateOptions = {
  codecs: nodeCodecs,
  without: new Set(values.without.split(',').filter((name) => name !== '')),
  ...(values.effort === undefined ? {} : { effort: Number(values.effort) }),
  ...(mutation === undefined ? {} : { mutation }),
  ...(values.groups ? { kind: 'groups' } : {}),
}
const tail = Number(values.tail)

if (process.env.SEED !== undefined) await replay(Number(process.env.SEED))
else await explore(values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed))

async function replay(seed: number): Promise<void> {
  const outcome = await simulate(seed, options)
  show(values.minimise ? await minimised(outcome) : outcome)
  if (outcome.violation !== undefined) process.exitCode = 1
}

async function explore(root: number): Promise<void> {
  console.log(
    `root seed ${root} (again: npm run sim --${values.groups ? ' --groups' : ''} --seed ${root} --seeds ${values.seeds})`,
  )
  const seeds = new Dice(root)
  const faults = new Map<string, number>()
  const sums = { histories: 0, days: 0, events: 0, calls: 0, commits: 0, records: 0, violations: 0 }
  const began = performance.now()
  for (let index = 0; index < Number(values.seeds); index++) {
    const outcome = await simulate(seeds.seed32(), options)
    sums.histories++
    for (const name of ['days', 'events', 'calls', 'commits', 'records'] as const) sums[name] += outcome[name]
    for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count)
    if (outcome.violation === undefined) continue
    sums.violations++
    process.exitCode = 1
    if (values.all) console.log(`seed ${outcome.seed}: ${outcome.violation.split('\n')[0]}`)
    else {
      show(outcome)
      break
    }
  }
  const seconds = (performance.now() - began) / 1000
  console.log(
    `${Object.entries(sums)
      .map(([name, sum]) => `${Math.round(sum)} ${name}`)
      .join(', ')}`,
  )
  console.log(`${(sums.histories / seconds).toFixed(1)} histories/s, ${Math.round(sums.events / seconds)} events/s`)
  console.log(
    `faults: ${[...faults]
      .sort()
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')}`,
  )
}

function show(outcome: Outcome): void {
  console.log(outcome.lines.slice(-tail).join('\n'))
  console.log(`\n${describeSwarm(outcome.swarm)}`)
  console.log(outcome.violation ?? 'no violation')
  console.log(
    `seed ${outcome.seed} (replay: SEED=${outcome.seed} npm run sim${outcome.swarm.kind === 'groups' ? ' -- --groups' : ''})`,
  )
}

/** The same violation with fewer actors, fewer faults and less effort, as far as leaving out one at a time leads. */
async function minimised(outcome: Outcome): Promise<Outcome> {
  const rule = outcome.violation?.split(':')[0]
  if (rule === undefined) return outcome
  let best = outcome
  let without = options.without ?? new Set<string>()
  let { effort } = outcome.swarm
  const attempt = async (changed: { without: ReadonlySet<string>; effort: number }): Promise<boolean> => {
    const found = await simulate(outcome.seed, { ...options, ...changed })
    if (found.violation?.split(':')[0] !== rule) return false
    best = found
    without = changed.without
    effort = changed.effort
    return true
  }
  for (const name of [
    ...actorKinds,
    ...faultKinds,
    'blight',
    'disk',
    'disk-faults',
    'long',
    'lull',
    'rows-again',
    'compaction',
  ])
    await attempt({ without: new Set([...without, name]), effort })
  for (let less = 2; less < 64; less *= 2)
    while (effort > less && (await attempt({ without, effort: effort - Math.ceil(effort / less) })));
  console.log(`--without ${[...without].join(',')} --effort ${effort}`)
  return best
}
