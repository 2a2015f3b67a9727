/**
 * Who may do what to the storage: the one list of which the roles' policies are made, and against which an end-to-end run
 * compares what the functions really asked for. An entry that no run uses says under `rarely` when it is needed.
 *
 * Items are named by the collections of lib/core/items.ts, the partition keys of the table; `*` stands for any rest.
 * Transactions ask for the permissions of the writes in them. A refused transaction reads what refused it (GetItem).
 */
import type { Settings } from '../lib/core/settings.ts'

export type FunctionName =
  | 'produce'
  | 'fetch'
  | 'consume'
  | 'admin'
  | 'maintain'
  | 'merge'
  | 'sweep'
  | 'verify'
  | 'authorize'
  | 'web'

export type Resource =
  /** Objects whose keys begin so. */
  | { readonly kind: 'objects'; readonly prefix: string }
  /** The bucket itself. */
  | { readonly kind: 'bucket' }
  /** Items of these collections. */
  | { readonly kind: 'items'; readonly collections: readonly string[] }
  /** What the table tells of its changes, where it does. */
  | { readonly kind: 'stream' }

export interface Permission {
  readonly actions: readonly string[]
  readonly on: Resource
  readonly why: string
  /** When it is needed, where an ordinary run does not need it. */
  readonly rarely?: string
  /** Only where this setting is true. */
  readonly setting?: 'autoCreateTopics'
}

const segments: Resource = { kind: 'objects', prefix: 'segments/' }

function items(...collections: string[]): Resource {
  return { kind: 'items', collections }
}

const readSegments: readonly Permission[] = [
  { actions: ['s3:GetObject'], on: segments, why: 'Records are read from segments.' },
  {
    actions: ['s3:ListBucket'],
    on: { kind: 'bucket' },
    why: 'Without it S3 answers a missing object with 403 instead of 404, and a damaged log would look like a wrong role.',
    rarely: 'Nothing lists. S3 looks at it when an object is missing, which is a fault.',
  },
  { actions: ['dynamodb:Query'], on: items('rows/*'), why: 'What is no longer in the tail is found in rows.' },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:Query'],
    on: items('inline/*'),
    why: 'Small chunks are read from the table: a few one by one, more by one query.',
    rarely: 'A topic keeps small appends in the table, and they were not merged yet.',
  },
]

const readRecords: readonly Permission[] = [
  {
    actions: ['dynamodb:GetItem'],
    on: items('topics', 'heads/*'),
    why: 'The topic of a name, the head of a partition.',
  },
  ...readSegments,
]

const createTopics: readonly Permission[] = [
  {
    actions: ['dynamodb:PutItem'],
    on: items('topics', 'heads/*'),
    why: 'Heads of the partitions first, then the name.',
  },
  {
    actions: ['dynamodb:ConditionCheckItem'],
    on: items('graves'),
    why: 'A late repeat of a creation must not revive a deleted topic (D6).',
  },
]

const endDeletions: readonly Permission[] = [
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('topics'),
    why: 'The name of a deleted topic is freed.',
  },
  { actions: ['dynamodb:PutItem'], on: items('graves'), why: 'A deleted topic leaves a grave for the sweep.' },
  {
    actions: ['dynamodb:GetItem'],
    on: items('graves'),
    why: 'The grave that refused a creation is looked at.',
    rarely: 'A creation, or the end of a deletion, was sent twice.',
  },
]

const produce: readonly Permission[] = [
  { actions: ['s3:PutObject'], on: segments, why: 'Every flush is a segment (D1).' },
  {
    actions: ['dynamodb:PutItem'],
    on: items('inline/*'),
    why: 'What is small costs less in the table than as a segment, until it is merged.',
  },
  {
    actions: ['dynamodb:GetItem'],
    on: items('topics', 'heads/*', 'cluster'),
    why: 'The topic of a name, the head before and beside a commit, the cluster id that v3 answers with, the counter of producer ids.',
  },
  {
    actions: ['dynamodb:UpdateItem'],
    on: items('heads/*'),
    why: 'The commit (H2), the roll, and a producer that leaves the head.',
  },
  {
    actions: ['dynamodb:Query'],
    on: items('rows/*'),
    why: 'A roll reads the row before its own; after an unknown outcome rows prove what was committed (C1).',
  },
  { actions: ['dynamodb:PutItem'], on: items('rows/*'), why: 'A roll puts a row (H1).' },
  {
    actions: ['dynamodb:PutItem'],
    on: items('cluster'),
    why: 'Producer ids are allocated; the first process names the cluster.',
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:ConditionCheckItem'],
    on: items('producers/*'),
    why: 'State of idempotent producers beyond the few in the head, and that there is none (P1).',
  },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('producers/*'),
    why: 'A producer comes back into the head; it is in one place only (P1).',
    rarely: 'A producer was idle for a whole roll, and then goes on.',
  },
  ...[...createTopics, ...endDeletions].map((permission) => ({ ...permission, setting: 'autoCreateTopics' as const })),
]

const fetch: readonly Permission[] = readRecords

/** Members come and go, commit and are thrown out, whoever's request notices it. */
const keepGroups: readonly Permission[] = [
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem'],
    on: items('groups', 'group-states'),
    why: 'A group, and its change: two items in one transaction.',
  },
  {
    actions: ['dynamodb:Query', 'dynamodb:GetItem'],
    on: items('members/*', 'offsets/*'),
    why: 'Who is alive; what is committed.',
  },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('members/*'),
    why: 'A member leaves, or is evicted with the beat that was seen of it.',
  },
  {
    actions: ['dynamodb:ConditionCheckItem'],
    on: items('groups', 'members/*'),
    why: 'What a member left behind goes only while the group is as it was read; a member that is gone already must stay so.',
    rarely: 'A member left, or was evicted, twice.',
  },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('groups', 'offsets/*'),
    why: 'A deletion that somebody began and did not end must end before the name is used again.',
    rarely: 'A deletion broke off in between.',
  },
]

const consume: readonly Permission[] = [
  ...readRecords,
  ...keepGroups,
  { actions: ['dynamodb:PutItem'], on: items('members/*'), why: 'A member joins; its heartbeats.' },
  { actions: ['dynamodb:PutItem'], on: items('offsets/*'), why: 'A claim of a partition, and commits.' },
  { actions: ['dynamodb:Query'], on: items('topics'), why: 'A subscription by pattern looks at the names there are.' },
  { actions: ['dynamodb:Query'], on: items('groups'), why: 'A new group is counted (groupsMax).' },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
    on: items('instances/*'),
    why: 'Consumer instances of Kafka REST v2.',
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
    on: items('instance-groups'),
    why: 'They are counted (consumerInstancesMax).',
  },
]

const admin: readonly Permission[] = [
  {
    actions: ['dynamodb:GetItem'],
    on: items('topics', 'heads/*', 'cluster'),
    why: 'Topics, their partitions with leader and offsets, the cluster id.',
  },
  { actions: ['dynamodb:Query'], on: items('topics'), why: 'Topics are listed.' },
  ...createTopics,
  {
    actions: ['dynamodb:UpdateItem'],
    on: items('heads/*'),
    why: 'Deletion marks every head (D6); delete-records raises the log start.',
  },
  { actions: ['dynamodb:PutItem'], on: items('cluster'), why: 'The first process names the cluster.', rarely: 'Once.' },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:Query', 'dynamodb:PutItem'],
    on: items('api-keys'),
    why: 'API keys are made, listed and revoked. None is ever deleted (A2).',
    rarely: 'The API asks for keys (auth=api-keys).',
  },
  ...endDeletions,
  ...keepGroups,
  { actions: ['dynamodb:Query'], on: items('groups'), why: 'Groups are listed.' },
  { actions: ['dynamodb:PutItem'], on: items('offsets/*'), why: 'Offsets of a stopped group are reset.' },
  ...readRecords.map((permission) => ({
    ...permission,
    why: `${permission.why} Offsets of a group are reset to a time.`,
    rarely: 'Offsets of a group are reset to a time.',
  })),
]

const merges = 'A partition has enough rows to merge, which were left alone for mergeQuietMs.'
const oldTails = 'A partition got only a few commits, and none of them for tailAgeMsMax, an hour.'

/** What is done to a partition, whoever finds that it is time to. */
const keepPartitions: readonly Permission[] = [
  { actions: ['dynamodb:GetItem'], on: items('heads/*'), why: 'Where the log starts, and what is in the tail.' },
  ...readSegments.map((permission) => ({ ...permission, rarely: merges })),
  { actions: ['s3:PutObject'], on: segments, why: 'A merge writes a segment.', rarely: merges },
  {
    actions: ['dynamodb:PutItem', 'dynamodb:DeleteItem'],
    on: items('rows/*'),
    why: 'One row takes the place of those that were merged; rows below the log start go; an old tail becomes one.',
    rarely: merges,
  },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('inline/*'),
    why: 'Small chunks that are in a segment now, or that nobody came to commit.',
    rarely: merges,
  },
  {
    actions: ['dynamodb:PutItem', 'dynamodb:GetItem'],
    on: items('candidates'),
    why: 'Segments that nothing may name any more are noted for the sweep.',
    rarely: merges,
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem'],
    on: items('compactions'),
    why: 'What passes of key compaction left to know for the next ones.',
    rarely: 'A topic has cleanup.policy=compact.',
  },
  {
    actions: ['dynamodb:Query'],
    on: items('topics', 'producers/*'),
    why: 'What the topics ask for, and the producers of a partition.',
  },
  {
    actions: ['dynamodb:GetItem'],
    on: items('producers/*'),
    why: 'What refused the deletion of a producer is looked at.',
    rarely: 'A producer comes back while it is being forgotten.',
  },
  {
    actions: ['dynamodb:UpdateItem'],
    on: items('heads/*'),
    why: 'The log start is raised by retention, the fence before small chunks go, the floor before a producer is forgotten (P4); an old tail is rolled.',
    rarely: 'There is something that is old enough.',
  },
  {
    actions: ['dynamodb:PutItem'],
    on: items('producers/*'),
    why: 'A producer that was idle for a whole roll leaves the head.',
    rarely: oldTails,
  },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('producers/*'),
    why: 'Forgotten producers.',
    rarely: 'A producer was idle for producerIdExpirationMs, a day.',
  },
]

const merge: readonly Permission[] = [
  ...keepPartitions,
  {
    actions: ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator', 'dynamodb:ListStreams'],
    on: { kind: 'stream' },
    why: 'Lambda reads the stream in the name of the function.',
    rarely: 'Lambda asks, not the function.',
  },
]

const maintain: readonly Permission[] = [
  ...keepPartitions,
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem'],
    on: items('upkeep'),
    why: 'How far the round over all partitions came.',
  },
  {
    actions: ['dynamodb:GetItem'],
    on: items('topics'),
    why: 'Whether what a group subscribes to is still there.',
    rarely: 'There are groups.',
  },
  { actions: ['dynamodb:Query'], on: items('groups'), why: 'A round looks at every group.' },
  ...keepGroups.map((permission) => ({
    ...permission,
    rarely: 'A group has members that are gone, or was empty for offsetsRetentionMs, a week.',
  })),
  { actions: ['dynamodb:Query'], on: items('instance-groups'), why: 'A round looks at every group with instances.' },
  { actions: ['dynamodb:Query'], on: items('instances/*'), why: 'Consumer instances of Kafka REST v2.' },
  {
    actions: ['dynamodb:DeleteItem'],
    on: items('instances/*'),
    why: 'Consumer instances that were idle for too long.',
    rarely: 'An instance was idle for consumerInstanceTimeoutMs, five minutes.',
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
    on: items('instance-groups'),
    why: 'They are counted.',
    rarely: 'An instance was idle for consumerInstanceTimeoutMs, five minutes.',
  },
]

const superseded = 'There are segments older than sweepAgeMs, a day.'
const graves = 'A topic was deleted.'

const sweep: readonly Permission[] = [
  { actions: ['s3:ListBucket'], on: { kind: 'bucket' }, why: 'Segments are looked at once, when they are old enough.' },
  {
    actions: ['s3:GetObject'],
    on: segments,
    why: 'A footer says which partitions may name the segment.',
    rarely: superseded,
  },
  {
    actions: ['s3:DeleteObject'],
    on: segments,
    why: 'What nothing names any more goes. Nobody else may.',
    rarely: superseded,
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem'],
    on: items('sweep'),
    why: 'How far the last sweep came.',
    rarely: superseded,
  },
  { actions: ['dynamodb:GetItem'], on: items('sweep'), why: 'How far the last sweep came.' },
  {
    actions: ['dynamodb:Query'],
    on: items('candidates', 'graves'),
    why: 'Segments that nothing may name any more, and topics that were deleted.',
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
    on: items('candidates'),
    why: 'A note loses the segments that are gone, and goes with the last of them; another is made of what is to be looked at again.',
    rarely: superseded,
  },
  {
    actions: ['dynamodb:UpdateItem', 'dynamodb:GetItem'],
    on: items('heads/*'),
    why: 'The fence is raised before anything goes; the tail is read after it.',
    rarely: superseded,
  },
  { actions: ['dynamodb:Query'], on: items('rows/*'), why: 'What rows name stays.', rarely: superseded },
  {
    actions: ['dynamodb:PutItem'],
    on: items('rows/*'),
    why: 'A row is put again, as it is, before a segment goes that was written for the same run (S3).',
    rarely: 'A run was compacted, or written twice.',
  },
  {
    actions: ['dynamodb:Query', 'dynamodb:DeleteItem', 'dynamodb:GetItem'],
    on: items('rows/*', 'inline/*', 'producers/*'),
    why: 'What a deleted topic left.',
    rarely: graves,
  },
  {
    actions: ['dynamodb:GetItem', 'dynamodb:DeleteItem'],
    on: items('compactions'),
    why: 'What the compaction of a deleted topic left.',
    rarely: graves,
  },
  {
    actions: ['dynamodb:PutItem', 'dynamodb:GetItem'],
    on: items('graves'),
    why: 'A grave that was emptied says so.',
    rarely: graves,
  },
]

const notVerified = 'Nobody asked for a verification.'

/** Everything is read, nothing is written. */
const verify: readonly Permission[] = (
  [
    {
      actions: ['dynamodb:GetItem'],
      on: items('topics', 'heads/*', 'rows/*'),
      why: 'The topic of a name, the head of a partition, a row that looked wrong once more.',
    },
    {
      actions: ['dynamodb:Query'],
      on: items('topics', 'graves', 'producers/*', 'candidates'),
      why: 'All topics, what deleted ones left, the producers of a partition, what waits for the sweep.',
    },
    ...readSegments,
    { actions: ['dynamodb:GetItem'], on: items('sweep'), why: 'How far the last sweep came.' },
  ] satisfies readonly Permission[]
).map((permission) => ({ ...permission, rarely: notVerified }))

const authorize: readonly Permission[] = [
  {
    actions: ['dynamodb:GetItem'],
    on: items('api-keys'),
    why: 'The hash of the key that was presented, and what it allows.',
  },
]

const all: Readonly<Record<FunctionName, readonly Permission[]>> = {
  produce,
  fetch,
  consume,
  admin,
  maintain,
  merge,
  sweep,
  verify,
  authorize,
  web: [...produce, ...fetch, ...consume, ...admin, ...verify],
}

/** What a function may do to the storage, under these settings. */
export function permissionsOf(
  name: FunctionName,
  settings: Partial<Pick<Settings, 'autoCreateTopics'>> = {},
): readonly Permission[] {
  return all[name].filter(({ setting }) => setting === undefined || settings[setting] === true)
}
