/**
 * The resources of Kafka REST v3: every answer says its kind, where it is (`metadata.self`), its name (`crn:///…`), and where
 * what belongs to it is (`related`).
 *
 * The face is served under `/v3` (Confluent Platform) and `/kafka/v3` (Confluent Cloud and embedded proxies); links go on
 * under the prefix that the request came by. Any cluster id is accepted in a path, and the real one is answered.
 */
import type { Lease } from '../core/lease.ts'
import type { Topic } from '../core/topic.ts'
import { brokerId } from './one-broker.ts'
import type { RouteContext } from './route.ts'

export const v3Prefixes: readonly string[] = ['/v3', '/kafka/v3']
export const v3Tags: readonly string[] = ['Kafka REST v3']

/** Where the resources of this log are, for this request. */
export interface Cluster {
  readonly id: string
  /** Absolute, without a slash at the end. */
  readonly url: string
  readonly clustersUrl: string
}

export async function clusterOf(context: RouteContext): Promise<Cluster> {
  const id = await context.log.clusterId()
  const clustersUrl = `${context.baseUrl}/clusters`
  return { id, clustersUrl, url: `${clustersUrl}/${encodeURIComponent(id)}` }
}

export function resource(cluster: Cluster, kind: string, path: string, names: string): object {
  return { kind, metadata: { self: cluster.url + path, resource_name: `crn:///kafka=${cluster.id}${names}` } }
}

export function collection(kind: string, self: string, data: readonly object[]): object {
  return { kind: `${kind}List`, metadata: { self, next: null }, data }
}

export function related(cluster: Cluster, path: string): object {
  return { related: cluster.url + path }
}

export function clusterResource(cluster: Cluster): object {
  return {
    ...resource(cluster, 'KafkaCluster', '', ''),
    cluster_id: cluster.id,
    controller: related(cluster, `/brokers/${brokerId}`),
    acls: related(cluster, '/acls'),
    brokers: related(cluster, '/brokers'),
    broker_configs: related(cluster, '/broker-configs'),
    consumer_groups: related(cluster, '/consumer-groups'),
    topics: related(cluster, '/topics'),
    partition_reassignments: related(cluster, '/topics/-/partitions/-/reassignment'),
  }
}

/** The one broker: its host and port are where this server was reached. */
export function brokerResource(cluster: Cluster): object {
  const { hostname, port, protocol } = new URL(cluster.url)
  const path = `/brokers/${brokerId}`
  return {
    ...resource(cluster, 'KafkaBroker', path, `/broker=${brokerId}`),
    cluster_id: cluster.id,
    broker_id: brokerId,
    host: hostname,
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    rack: null,
    configs: related(cluster, `${path}/configs`),
    partition_replicas: related(cluster, `${path}/partition-replicas`),
  }
}

export function topicPath(name: string): string {
  return `/topics/${encodeURIComponent(name)}`
}

/** A topic has one replica, whatever replication factor it was created with. */
export function topicResource(cluster: Cluster, topic: Topic): object {
  const path = topicPath(topic.name)
  return {
    ...resource(cluster, 'KafkaTopic', path, `/topic=${topic.name}`),
    cluster_id: cluster.id,
    topic_name: topic.name,
    topic_id: topic.id,
    is_internal: false,
    replication_factor: 1,
    partitions_count: topic.partitions,
    partitions: related(cluster, `${path}/partitions`),
    configs: related(cluster, `${path}/configs`),
    partition_reassignments: related(cluster, `${path}/partitions/-/reassignment`),
  }
}

/** What the resources of one partition have in common, below its path. */
function ofPartition(cluster: Cluster, topic: Topic, partition: number, kind: string, path: string, names: string) {
  const names_ = `/topic=${topic.name}/partition=${partition}${names}`
  return {
    ...resource(cluster, kind, `${topicPath(topic.name)}/partitions/${partition}${path}`, names_),
    cluster_id: cluster.id,
    topic_name: topic.name,
    partition_id: partition,
  }
}

export function partitionResource(cluster: Cluster, topic: Topic, partition: number): object {
  const path = `${topicPath(topic.name)}/partitions/${partition}`
  return {
    ...ofPartition(cluster, topic, partition, 'KafkaPartition', '', ''),
    leader: related(cluster, `${path}/replicas/${brokerId}`),
    replicas: related(cluster, `${path}/replicas`),
    reassignment: related(cluster, `${path}/reassignment`),
  }
}

/** With who leads it, as far as leading means something here: the lease, and the epoch that a leader's writes carry (L2). */
export function ledPartitionResource(
  cluster: Cluster,
  topic: Topic,
  partition: number,
  { lease, leaseEpoch }: { readonly lease: Lease | undefined; readonly leaseEpoch: number },
): object {
  return {
    ...partitionResource(cluster, topic, partition),
    leader_epoch: leaseEpoch,
    lease:
      lease === undefined
        ? null
        : { owner: lease.owner, until_timestamp: lease.untilMs, is_exclusive: lease.isExclusive },
  }
}

export function offsetsResource(
  cluster: Cluster,
  topic: Topic,
  partition: number,
  offsets: { readonly startOffset: number; readonly highWatermark: number },
): object {
  return {
    ...ofPartition(cluster, topic, partition, 'KafkaPartitionWithOffsets', '/offset', '/offset'),
    earliest_offset: offsets.startOffset,
    latest_offset: offsets.highWatermark,
  }
}

export function replicaResource(cluster: Cluster, topic: Topic, partition: number): object {
  return {
    ...ofPartition(cluster, topic, partition, 'KafkaReplica', `/replicas/${brokerId}`, `/replica=${brokerId}`),
    broker_id: brokerId,
    is_leader: true,
    is_in_sync: true,
    broker: related(cluster, `/brokers/${brokerId}`),
  }
}

/** Nothing is ever moved: the lists are empty. */
export function reassignmentResource(cluster: Cluster, topic: Topic, partition: number): object {
  return {
    ...ofPartition(cluster, topic, partition, 'KafkaReassignment', '/reassignment', '/reassignment'),
    adding_replicas: [],
    removing_replicas: [],
    replicas: related(cluster, `${topicPath(topic.name)}/partitions/${partition}/replicas`),
  }
}

export interface ConfigValue {
  readonly name: string
  readonly value: string
  readonly default: string
  readonly isSet: boolean
  /** Where the value comes from when it is set. */
  readonly source: 'DYNAMIC_TOPIC_CONFIG' | 'STATIC_BROKER_CONFIG'
  readonly isReadOnly: boolean
}

/** @param owner its path below the cluster and its part of the resource name */
export function configResource(
  cluster: Cluster,
  kind: 'KafkaTopicConfig' | 'KafkaBrokerConfig' | 'KafkaClusterConfig',
  owner: { readonly path: string; readonly names: string; readonly fields: object },
  config: ConfigValue,
): object {
  const { name, value, isSet, source, isReadOnly } = config
  const byDefault = { name, value: config.default, source: 'DEFAULT_CONFIG' }
  return {
    ...resource(cluster, kind, `${owner.path}/${encodeURIComponent(name)}`, `${owner.names}=${name}`),
    cluster_id: cluster.id,
    ...owner.fields,
    name,
    value,
    is_default: !isSet,
    is_read_only: isReadOnly,
    is_sensitive: false,
    source: isSet ? source : 'DEFAULT_CONFIG',
    synonyms: isSet ? [{ name, value, source }, byDefault] : [byDefault],
  }
}
