/** Kafka REST v3: the cluster, and the one broker that stands for the whole log (one-broker.ts says why). */
import { type Refusal, refusal } from '../core/errors.ts'
import { type Setting, type Settings, settingsTable } from '../core/settings.ts'
import { brokerId } from './one-broker.ts'
import { jsonReply } from './replies.ts'
import type { Route, RouteContext } from './route.ts'
import type { Parsed } from './v2-embedded.ts'
import { shown } from './v2-embedded.ts'
import { checkBroker, v3Refusal } from './v3-requests.ts'
import {
  brokerResource,
  type Cluster,
  type ConfigValue,
  clusterOf,
  clusterResource,
  collection,
  configResource,
  replicaResource,
  v3Prefixes,
  v3Tags,
} from './v3-resources.ts'
import {
  brokerParameter,
  brokerSchema,
  clusterSchema,
  collectionSchema,
  configSchema,
  replicaSchema,
  v3Response,
} from './v3-schemas.ts'

/** Settings that are broker configs of the same meaning in Kafka. Read only: a deployment sets them, no request does. */
const brokerConfigs: ReadonlyMap<string, keyof Settings> = new Map<string, keyof Settings>([
  ['auto.create.topics.enable', 'autoCreateTopics'],
  ['num.partitions', 'partitionsDefault'],
  ['producer.id.expiration.ms', 'producerIdExpirationMs'],
  ['queued.max.request.bytes', 'pendingBytesMax'],
  ['socket.request.max.bytes', 'appendBytesMax'],
])

function configValue(name: string, setting: keyof Settings, settings: Settings): ConfigValue {
  const { default: byDefault }: Setting = settingsTable[setting]
  return {
    name,
    value: String(settings[setting]),
    default: String(byDefault),
    isSet: settings[setting] !== byDefault,
    source: 'STATIC_BROKER_CONFIG',
    isReadOnly: true,
  }
}

type Owner = 'broker' | 'cluster'

function brokerConfig(cluster: Cluster, owner: Owner, config: ConfigValue): object {
  return owner === 'broker'
    ? configResource(
        cluster,
        'KafkaBrokerConfig',
        {
          path: `/brokers/${brokerId}/configs`,
          names: `/broker=${brokerId}/config`,
          fields: { broker_id: brokerId },
        },
        config,
      )
    : configResource(
        cluster,
        'KafkaClusterConfig',
        { path: '/broker-configs', names: '/broker-config', fields: { config_type: 'BROKER' } },
        config,
      )
}

function listConfigs(context: RouteContext, cluster: Cluster, owner: Owner): object[] {
  return [...brokerConfigs].map(([name, setting]) =>
    brokerConfig(cluster, owner, configValue(name, setting, context.settings)),
  )
}

function findConfig(context: RouteContext): Parsed<ConfigValue> {
  const name = context.params.name ?? ''
  const setting = brokerConfigs.get(name)
  if (setting !== undefined) return { ok: true, value: configValue(name, setting, context.settings) }
  return refusal('UNKNOWN_CONFIG', `There is no broker config ${shown(name)}.`)
}

/** A GET under /clusters that answers one JSON value, with the broker of the path checked where there is one. */
function get(
  path: string,
  operation: Omit<Route['operation'], 'tags'>,
  handle: (context: RouteContext, cluster: Cluster) => Promise<object | Refusal> | object | Refusal,
): Route {
  const hasBroker = path.includes('{broker_id}')
  return {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path,
    prefixes: v3Prefixes,
    operation: {
      ...operation,
      tags: v3Tags,
      ...(hasBroker ? { parameters: [brokerParameter, ...(operation.parameters ?? [])] } : {}),
    },
    async handle(context) {
      if (hasBroker) {
        const broker = checkBroker(context)
        if (!broker.ok) return v3Refusal(broker)
      }
      const answer = await handle(context, await clusterOf(context))
      return 'code' in answer ? v3Refusal(answer) : jsonReply(200, answer)
    },
  }
}

const brokerConfigSchema = configSchema('KafkaBrokerConfig', { broker_id: { type: 'integer' } })
const clusterConfigSchema = configSchema('KafkaClusterConfig', { config_type: { const: 'BROKER' } })

export const v3ClusterRoutes: readonly Route[] = [
  get(
    '/clusters',
    {
      operationId: 'listClusters',
      summary: 'The clusters: this one',
      responses: { 200: v3Response('The list', collectionSchema('KafkaCluster', clusterSchema)) },
    },
    (_context, cluster) => collection('KafkaCluster', cluster.clustersUrl, [clusterResource(cluster)]),
  ),
  get(
    '/clusters/{cluster_id}',
    {
      operationId: 'getCluster',
      summary: 'The cluster',
      description: 'Any id is taken, here and below; the answer names the real one.',
      responses: { 200: v3Response('The cluster', clusterSchema) },
    },
    (_context, cluster) => clusterResource(cluster),
  ),
  get(
    '/clusters/{cluster_id}/brokers',
    {
      operationId: 'listBrokers',
      summary: 'The brokers: one, which stands for the whole log',
      responses: { 200: v3Response('The list', collectionSchema('KafkaBroker', brokerSchema)) },
    },
    (_context, cluster) => collection('KafkaBroker', `${cluster.url}/brokers`, [brokerResource(cluster)]),
  ),
  get(
    '/clusters/{cluster_id}/brokers/{broker_id}',
    {
      operationId: 'getBroker',
      summary: 'The broker',
      responses: { 200: v3Response('The broker', brokerSchema) },
    },
    (_context, cluster) => brokerResource(cluster),
  ),
  get(
    '/clusters/{cluster_id}/brokers/{broker_id}/configs',
    {
      operationId: 'listBrokerConfigs',
      summary: 'The settings of this log that Kafka has a broker config for',
      responses: { 200: v3Response('The list', collectionSchema('KafkaBrokerConfig', brokerConfigSchema)) },
    },
    (context, cluster) =>
      collection(
        'KafkaBrokerConfig',
        `${cluster.url}/brokers/${brokerId}/configs`,
        listConfigs(context, cluster, 'broker'),
      ),
  ),
  get(
    '/clusters/{cluster_id}/brokers/-/configs',
    {
      operationId: 'listAllBrokerConfigs',
      summary: 'The same, of all brokers',
      responses: { 200: v3Response('The list', collectionSchema('KafkaBrokerConfig', brokerConfigSchema)) },
    },
    (context, cluster) =>
      collection('KafkaBrokerConfig', `${cluster.url}/brokers/-/configs`, listConfigs(context, cluster, 'broker')),
  ),
  get(
    '/clusters/{cluster_id}/brokers/{broker_id}/configs/{name}',
    {
      operationId: 'getBrokerConfig',
      summary: 'One of them',
      responses: { 200: v3Response('The config', brokerConfigSchema) },
    },
    (context, cluster) => {
      const config = findConfig(context)
      return config.ok ? brokerConfig(cluster, 'broker', config.value) : config
    },
  ),
  get(
    '/clusters/{cluster_id}/broker-configs',
    {
      operationId: 'listClusterConfigs',
      summary: 'The settings of this log that Kafka has a broker config for, as defaults of all brokers',
      responses: { 200: v3Response('The list', collectionSchema('KafkaClusterConfig', clusterConfigSchema)) },
    },
    (context, cluster) =>
      collection('KafkaClusterConfig', `${cluster.url}/broker-configs`, listConfigs(context, cluster, 'cluster')),
  ),
  get(
    '/clusters/{cluster_id}/broker-configs/{name}',
    {
      operationId: 'getClusterConfig',
      summary: 'One of them',
      responses: { 200: v3Response('The config', clusterConfigSchema) },
    },
    (context, cluster) => {
      const config = findConfig(context)
      return config.ok ? brokerConfig(cluster, 'cluster', config.value) : config
    },
  ),
  get(
    '/clusters/{cluster_id}/brokers/{broker_id}/partition-replicas',
    {
      operationId: 'listReplicasOfBroker',
      summary: 'The replicas on the broker: one of every partition',
      responses: { 200: v3Response('The list', collectionSchema('KafkaReplica', replicaSchema)) },
    },
    async (context, cluster) => {
      const topics = await context.log.listTopics()
      const replicas = topics.flatMap((topic) =>
        Array.from({ length: topic.partitions }, (_, partition) => replicaResource(cluster, topic, partition)),
      )
      return collection('KafkaReplica', `${cluster.url}/brokers/${brokerId}/partition-replicas`, replicas)
    },
  ),
]
