/** Simulates in a thread of its own: the test runner watches every promise of its thread, which takes three times as long. */
import { parentPort } from 'node:worker_threads'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { mutations } from './mutations.ts'
import { simulate } from './simulate.ts'
import type { WorldKind } from './swarm.ts'
import { describeSwarm } from './swarm.ts'

export interface WorkerRequest {
  readonly seed: number
  readonly kind?: WorldKind
  readonly mutation?: string
}
export interface WorkerAnswer {
  readonly violation: string | undefined
  /** The end of the history, where there is a violation. */
  readonly tail: string
  readonly lines: number
  readonly hash: string
}

parentPort?.on('message', async ({ seed, kind, mutation }: WorkerRequest) => {
  const outcome = await simulate(seed, {
    codecs: nodeCodecs,
    ...(kind === undefined ? {} : { kind }),
    ...(mutation === undefined ? {} : { mutation: mutations[mutation]! }),
  })
  const { violation, lines } = outcome
  const tail = violation === undefined ? '' : [...lines.slice(-40), describeSwarm(outcome.swarm)].join('\n')
  parentPort?.postMessage({ violation, tail, lines: lines.length, hash: outcome.hash() } satisfies WorkerAnswer)
})
