/**
 * Kafka REST v3: consumer groups, read only. What Confluent's document calls ConsumerGroupData, ConsumerData,
 * ConsumerAssignmentData, ConsumerGroupLagSummaryData and ConsumerLagData.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { GroupState } from '../core/group.ts'
import type { GroupDescription, MemberDescription, PartitionLag } from '../log/group-api.ts'
import { brokerId } from './one-broker.ts'
import { parseInteger } from './parameters.ts'
import { jsonReply } from './replies.ts'
import type { JsonSchema, OpenApiOperation, Route, RouteContext } from './route.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { v3Refusal } from './v3-requests.ts'
import {
  type Cluster,
  clusterOf,
  collection,
  related,
  resource,
  topicPath,
  v3Prefixes,
  v3Tags,
} from './v3-resources.ts'
import { collectionSchema, link, partitionParameter, resourceSchema, v3Response } from './v3-schemas.ts'

/** The convention's states, as far as a group of this log has them. */
const states: Readonly<Record<GroupState, string>> = {
  Empty: 'EMPTY',
  Stable: 'STABLE',
  Reconciling: 'RECONCILING',
  Dead: 'DEAD',
}

/** A list asks for the assignor of each group. */
const describedAtOnce = 32

const text: JsonSchema = { type: 'string' }
const number: JsonSchema = { type: 'integer' }
const ofGroup = { cluster_id: text, consumer_group_id: text }
const textOrNull: JsonSchema = { type: ['string', 'null'] }

const groupSchema = resourceSchema('KafkaConsumerGroup', {
  ...ofGroup,
  is_simple: { type: 'boolean' },
  partition_assignor: text,
  state: { enum: Object.values(states) },
  type: { const: 'CONSUMER', description: 'The group assigns, as in KIP-848' },
  is_mixed_consumer_group: { const: false },
  coordinator: link,
  consumers: link,
  lag_summary: link,
})
const consumerSchema = resourceSchema('KafkaConsumer', {
  ...ofGroup,
  consumer_id: text,
  instance_id: textOrNull,
  client_id: text,
  assignments: link,
})
const assignmentSchema = resourceSchema('KafkaConsumerAssignment', {
  ...ofGroup,
  consumer_id: text,
  topic_name: text,
  partition_id: number,
  partition: link,
  lag: link,
})
const lagSchema = resourceSchema('KafkaConsumerLag', {
  ...ofGroup,
  topic_name: text,
  partition_id: number,
  current_offset: { ...number, description: '0 where nothing was committed' },
  log_end_offset: number,
  lag: number,
  consumer_id: { ...text, description: 'Empty where nobody has the partition now, like client_id' },
  instance_id: textOrNull,
  client_id: text,
})
const lagSummarySchema = resourceSchema('KafkaConsumerGroupLagSummary', {
  ...ofGroup,
  max_lag_consumer_id: text,
  max_lag_instance_id: textOrNull,
  max_lag_client_id: text,
  max_lag_topic_name: text,
  max_lag_partition_id: number,
  max_lag: number,
  total_lag: number,
  max_lag_consumer: link,
  max_lag_partition: link,
})

const groupsPath = '/clusters/{cluster_id}/consumer-groups'
const groupPath = `${groupsPath}/{consumer_group_id}`
const consumerPath = `${groupPath}/consumers/{consumer_id}`

function get(
  path: string,
  operation: Omit<OpenApiOperation, 'tags'>,
  handle: (context: RouteContext, cluster: Cluster) => Promise<object | Refusal>,
): Route {
  const parameters = path.includes('{partition_id}') ? { parameters: [partitionParameter] } : {}
  return {
    work: 'admin',
    method: 'GET',
    path,
    prefixes: v3Prefixes,
    operation: { ...operation, ...parameters, tags: v3Tags },
    async handle(context) {
      const answer = await handle(context, await clusterOf(context))
      return 'code' in answer ? v3Refusal(answer) : jsonReply(200, answer)
    },
  }
}

export const v3ConsumerGroupRoutes: readonly Route[] = [
  get(
    groupsPath,
    {
      operationId: 'listConsumerGroups',
      summary: 'The consumer groups',
      responses: { 200: v3Response('By name', collectionSchema('KafkaConsumerGroup', groupSchema)) },
    },
    async (context, cluster) => {
      const { groups } = context.log
      const listed = await groups.list()
      if (!listed.ok) return listed
      const resources: object[] = []
      for (let at = 0; at < listed.groups.length; at += describedAtOnce) {
        const some = listed.groups.slice(at, at + describedAtOnce)
        const described = await Promise.all(some.map(({ group }) => groups.describe(group)))
        // Who is gone meanwhile is not there.
        for (const found of described) if (found.ok) resources.push(groupResource(cluster, found.group))
      }
      return collection('KafkaConsumerGroup', `${cluster.url}/consumer-groups`, resources)
    },
  ),
  get(
    groupPath,
    {
      operationId: 'getConsumerGroup',
      summary: 'A consumer group',
      responses: { 200: v3Response('The group', groupSchema) },
    },
    async (context, cluster) => {
      const found = await findGroup(context)
      return found.ok ? groupResource(cluster, found.value) : found
    },
  ),
  get(
    `${groupPath}/consumers`,
    {
      operationId: 'listConsumers',
      summary: 'The members of a consumer group',
      responses: { 200: v3Response('The list', collectionSchema('KafkaConsumer', consumerSchema)) },
    },
    async (context, cluster) => {
      const found = await findGroup(context)
      if (!found.ok) return found
      const { group, memberList } = found.value
      const self = `${cluster.url}${pathOfGroup(group)}/consumers`
      return collection(
        'KafkaConsumer',
        self,
        memberList.map((member) => consumerResource(cluster, group, member)),
      )
    },
  ),
  get(
    consumerPath,
    {
      operationId: 'getConsumer',
      summary: 'A member of a consumer group',
      responses: { 200: v3Response('The member', consumerSchema) },
    },
    async (context, cluster) => {
      const found = await findConsumer(context)
      return found.ok ? consumerResource(cluster, found.value.group, found.value.member) : found
    },
  ),
  get(
    `${consumerPath}/assignments`,
    {
      operationId: 'listConsumerAssignments',
      summary: 'The partitions that a member reads',
      responses: { 200: v3Response('The list', collectionSchema('KafkaConsumerAssignment', assignmentSchema)) },
    },
    async (context, cluster) => {
      const found = await findConsumer(context)
      if (!found.ok) return found
      const { group, member } = found.value
      return collection(
        'KafkaConsumerAssignment',
        `${cluster.url}${pathOfConsumer(group, member.memberId)}/assignments`,
        member.assigned.map((assigned) => assignmentResource(cluster, group, member.memberId, assigned)),
      )
    },
  ),
  get(
    `${consumerPath}/assignments/{topic_name}/partitions/{partition_id}`,
    {
      operationId: 'getConsumerAssignment',
      summary: 'One of them',
      responses: { 200: v3Response('The assignment', assignmentSchema) },
    },
    async (context, cluster) => {
      const partition = partitionOf(context)
      if (!partition.ok) return partition
      const found = await findConsumer(context)
      if (!found.ok) return found
      const { group, member } = found.value
      const { topic_name: topic = '' } = context.params
      const assigned = member.assigned.find((one) => one.topic === topic && one.partition === partition.value)
      if (assigned !== undefined) return assignmentResource(cluster, group, member.memberId, assigned)
      return refusal('NOT_FOUND', `${shown(topic)}/${partition.value} is not assigned to this consumer.`)
    },
  ),
  get(
    `${groupPath}/lag-summary`,
    {
      operationId: 'getConsumerGroupLagSummary',
      summary: 'How far a consumer group is behind: in all, and where most',
      responses: { 200: v3Response('The summary', lagSummarySchema) },
    },
    async (context, cluster) => {
      const { consumer_group_id: group = '' } = context.params
      const found = await context.log.groups.lags(group)
      return found.ok ? lagSummaryResource(cluster, group, found.lags) : found
    },
  ),
  get(
    `${groupPath}/lags`,
    {
      operationId: 'listConsumerLags',
      summary: 'How far a consumer group is behind, by partition',
      responses: { 200: v3Response('The list', collectionSchema('KafkaConsumerLag', lagSchema)) },
    },
    async (context, cluster) => {
      const { consumer_group_id: group = '' } = context.params
      const found = await context.log.groups.lags(group)
      if (!found.ok) return found
      const self = `${cluster.url}${pathOfGroup(group)}/lags`
      return collection(
        'KafkaConsumerLag',
        self,
        found.lags.map((lag) => lagResource(cluster, group, lag)),
      )
    },
  ),
  get(
    `${groupPath}/lags/{topic_name}/partitions/{partition_id}`,
    {
      operationId: 'getConsumerLag',
      summary: 'The same, of one partition',
      responses: { 200: v3Response('The lag', lagSchema) },
    },
    async (context, cluster) => {
      const partition = partitionOf(context)
      if (!partition.ok) return partition
      const { consumer_group_id: group = '', topic_name: topic = '' } = context.params
      const found = await context.log.groups.lags(group)
      if (!found.ok) return found
      const lag = found.lags.find((one) => one.topic === topic && one.partition === partition.value)
      if (lag !== undefined) return lagResource(cluster, group, lag)
      return refusal('NOT_FOUND', `The group has neither members nor offsets at ${shown(topic)}/${partition.value}.`)
    },
  ),
]

async function findGroup(context: RouteContext): Promise<Parsed<GroupDescription>> {
  const found = await context.log.groups.describe(context.params.consumer_group_id ?? '')
  return found.ok ? { ok: true, value: found.group } : found
}

async function findConsumer(
  context: RouteContext,
): Promise<Parsed<{ readonly group: string; readonly member: MemberDescription }>> {
  const found = await findGroup(context)
  if (!found.ok) return found
  const { group, memberList } = found.value
  const { consumer_id: consumer = '' } = context.params
  const member = memberList.find(({ memberId }) => memberId === consumer)
  if (member !== undefined) return { ok: true, value: { group, member } }
  return refusal('UNKNOWN_MEMBER_ID', `Group '${group}' has no member ${shown(consumer)}.`)
}

function partitionOf(context: RouteContext): Parsed<number> {
  const { partition_id: text = '' } = context.params
  const partition = parseInteger(text, 0, Number.MAX_SAFE_INTEGER)
  if (partition !== undefined) return { ok: true, value: partition }
  return refusal('NOT_FOUND', `${shown(text)} is not a partition number.`)
}

function pathOfGroup(group: string): string {
  return `/consumer-groups/${encodeURIComponent(group)}`
}

function pathOfConsumer(group: string, consumer: string): string {
  return `${pathOfGroup(group)}/consumers/${encodeURIComponent(consumer)}`
}

function groupResource(cluster: Cluster, group: GroupDescription): object {
  const path = pathOfGroup(group.group)
  return {
    ...resource(cluster, 'KafkaConsumerGroup', path, `/consumer-group=${group.group}`),
    cluster_id: cluster.id,
    consumer_group_id: group.group,
    // A group whose offsets are committed from outside only, without members, is no different here.
    is_simple: false,
    partition_assignor: group.assignor,
    state: states[group.state],
    type: 'CONSUMER',
    is_mixed_consumer_group: false,
    coordinator: related(cluster, `/brokers/${brokerId}`),
    consumers: related(cluster, `${path}/consumers`),
    lag_summary: related(cluster, `${path}/lag-summary`),
  }
}

function consumerResource(cluster: Cluster, group: string, member: MemberDescription): object {
  const path = pathOfConsumer(group, member.memberId)
  return {
    ...resource(cluster, 'KafkaConsumer', path, `/consumer-group=${group}/consumer=${member.memberId}`),
    cluster_id: cluster.id,
    consumer_group_id: group,
    consumer_id: member.memberId,
    instance_id: member.instanceId ?? null,
    client_id: member.clientId ?? '',
    assignments: related(cluster, `${path}/assignments`),
  }
}

function assignmentResource(
  cluster: Cluster,
  group: string,
  consumer: string,
  { topic, partition }: { readonly topic: string; readonly partition: number },
): object {
  const place = `${topicPath(topic)}/partitions/${partition}`
  const below = place.replace('/topics/', '/')
  const names = `/consumer-group=${group}/consumer=${consumer}/assignment=${topic}/partition=${partition}`
  return {
    ...resource(cluster, 'KafkaConsumerAssignment', `${pathOfConsumer(group, consumer)}/assignments${below}`, names),
    cluster_id: cluster.id,
    consumer_group_id: group,
    consumer_id: consumer,
    topic_name: topic,
    partition_id: partition,
    partition: related(cluster, place),
    lag: related(cluster, `${pathOfGroup(group)}/lags${below}`),
  }
}

function lagResource(cluster: Cluster, group: string, lag: PartitionLag): object {
  const { topic, partition } = lag
  const path = `${pathOfGroup(group)}/lags/${encodeURIComponent(topic)}/partitions/${partition}`
  const names = `/consumer-group=${group}/lag=${topic}/partition=${partition}`
  return {
    ...resource(cluster, 'KafkaConsumerLag', path, names),
    cluster_id: cluster.id,
    consumer_group_id: group,
    topic_name: topic,
    partition_id: partition,
    current_offset: lag.currentOffset ?? 0,
    log_end_offset: lag.endOffset,
    lag: lag.lag,
    consumer_id: lag.memberId ?? '',
    instance_id: lag.instanceId ?? null,
    client_id: lag.clientId ?? '',
  }
}

/** Of a group that has neither members nor offsets, the summary is of nothing: zeros and empty names. */
function lagSummaryResource(cluster: Cluster, group: string, lags: readonly PartitionLag[]): object {
  let most: PartitionLag | undefined
  let total = 0
  for (const lag of lags) {
    total += lag.lag
    if (most === undefined || lag.lag > most.lag) most = lag
  }
  const topic = most?.topic ?? ''
  const partition = most?.partition ?? 0
  const consumer = most?.memberId ?? ''
  return {
    ...resource(
      cluster,
      'KafkaConsumerGroupLagSummary',
      `${pathOfGroup(group)}/lag-summary`,
      `/consumer-groups=${group}/lag-summary`,
    ),
    cluster_id: cluster.id,
    consumer_group_id: group,
    max_lag_consumer_id: consumer,
    max_lag_instance_id: most?.instanceId ?? null,
    max_lag_client_id: most?.clientId ?? '',
    max_lag_topic_name: topic,
    max_lag_partition_id: partition,
    max_lag: most?.lag ?? 0,
    total_lag: total,
    max_lag_consumer: related(cluster, pathOfConsumer(group, consumer)),
    max_lag_partition: related(cluster, `${topicPath(topic)}/partitions/${partition}`),
  }
}
