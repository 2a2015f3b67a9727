/** The part of a log that verifies it. Reads only. */
import { countedAs, type Engine } from './engine.ts'
import type { Log } from './log.ts'
import { verifyPartition } from './verify.ts'
import { verifyLeftovers, verifyTopics } from './verify-topics.ts'

type VerifyMethods = 'verifyTopics' | 'verifyPartition' | 'verifyLeftovers'

export function verifyPart(engine: Engine): Pick<Log, VerifyMethods> {
  const { context, topics, answer, ending } = countedAs('verify', engine)
  return {
    verifyTopics: (after) => answer(async () => ({ ok: true, ...(await verifyTopics(context, after)) }), 'unseen'),
    verifyPartition: (request) =>
      answer(() => verifyPartition(context, topics, { ...request, signal: ending(request.signal) }), 'unseen'),
    verifyLeftovers: (signal) =>
      answer(async () => ({ ok: true, ...(await verifyLeftovers(context, ending(signal))) }), 'unseen'),
  }
}
