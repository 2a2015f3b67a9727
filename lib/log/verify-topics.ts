/** The verification of what belongs to no partition: the items of topics, what deleted topics left, and objects that nothing names. */
import type { Grave, Item } from '../core/items.ts'
import { gravesCollection, topicsCollection } from '../core/items.ts'
import type { Topic } from '../core/topic.ts'
import type { Finding, VerifiedLeftovers, VerifiedTopics } from '../core/verify-rule.ts'
import { findingCodes, topicFault } from '../core/verify-rule.ts'
import type { Context } from './context.ts'
import { sweep } from './sweep.ts'

const topicsPerPage = 500
const gravesPerQuery = 500
/** Findings that one answer names. */
const namedMax = 100
const leftoversMsMax = 15_000

/** A page of topics in the order of their names, from behind `after` on. */
export async function verifyTopics(context: Context, after?: string): Promise<VerifiedTopics> {
  const range = { ...(after === undefined ? {} : { from: `${after}\0` }), limit: topicsPerPage }
  const items = await context.persist(() => context.metadata.query(topicsCollection, range))
  const findings: Finding[] = []
  const topics: VerifiedTopics['topics'][number][] = []
  for (const item of items) {
    const wrong = topicFault(item.key, item.value)
    if (wrong !== undefined) {
      findings.push(finding('TOPIC_WRONG', wrong, { topic: item.key.sort }))
      continue
    }
    const { name, id, partitions, state } = item.value as unknown as Topic
    if (state === 'live') topics.push({ name, topicId: id, partitions })
    else findings.push(finding('TOPIC_DELETING', 'Its deletion was begun, and is not over.', { topic: name }))
  }
  const last = items[items.length - 1]
  const isEnd = items.length < topicsPerPage || last === undefined
  return { topics, findings, ...(isEnd ? {} : { next: last.key.sort }) }
}

/** What the next sweep would take, as its dry run says; ends early where time runs out. */
export async function verifyLeftovers(context: Context, ending: AbortSignal): Promise<VerifiedLeftovers> {
  const limit = new AbortController()
  const signal = AbortSignal.any([ending, limit.signal])
  const timing = context.clock.sleep(leftoversMsMax, signal).then(() => limit.abort())
  try {
    const graves = await fullGraves(context, signal)
    const { deleted, damaged } = await sweep(context, signal, true)
    const findings = [
      ...graves,
      ...deleted.map((key) => finding('SEGMENT_UNNAMED', 'Nothing names it.', { key })),
      ...damaged.map((key) => finding('OBJECT_FOREIGN', 'It is no segment that can be read.', { key })),
    ]
    return { findings: findings.slice(0, namedMax), unnamed: deleted.length, isWhole: !signal.aborted }
  } finally {
    limit.abort()
    await timing
  }
}

async function fullGraves(context: Context, signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = []
  let from: string | undefined
  while (!signal.aborted) {
    const range = { ...(from === undefined ? {} : { from }), limit: gravesPerQuery }
    const items: readonly Item[] = await context.persist(() => context.metadata.query(gravesCollection, range))
    for (const { key, value } of items) {
      const { name, sweptMs } = value as unknown as Grave
      if (sweptMs === undefined)
        findings.push(finding('GRAVE_FULL', `Topic '${name}' was deleted.`, { topic: name, key: key.sort }))
    }
    const last = items[items.length - 1]
    if (items.length < gravesPerQuery || last === undefined) break
    from = `${last.key.sort}\0`
  }
  return findings
}

function finding(
  code: Finding['code'],
  message: string,
  where: { readonly topic?: string; readonly key?: string },
): Finding {
  return { severity: findingCodes[code].severity, code, ...where, message }
}
