/** Kafka REST v3: the configs of topics, with Kafka's names and defaults (core/topic.ts). */
import { refusal } from '../core/errors.ts'
import { isTopicConfigName, type Topic, type TopicConfigName, topicConfigEntry, topicConfigs } from '../core/topic.ts'
import type { ConfigChange } from '../log/log.ts'
import { emptyReply, jsonReply, jsonType } from './replies.ts'
import type { Reply, Route, RouteContext } from './route.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { findTopic, optionalField, readFields, v3Refusal } from './v3-requests.ts'
import { type Cluster, clusterOf, collection, configResource, topicPath, v3Prefixes, v3Tags } from './v3-resources.ts'
import { collectionSchema, configSchema, v3Response } from './v3-schemas.ts'
import { parseConfigList, parseConfigValue } from './v3-topics.ts'

const topicsPath = '/clusters/{cluster_id}/topics'
const configsPath = `${topicsPath}/{topic_name}/configs`
const configPath = `${configsPath}/{name}`

const names = (Object.keys(topicConfigs) as TopicConfigName[]).sort()

function config(cluster: Cluster, topic: Topic, name: TopicConfigName): object {
  const entry = topicConfigEntry(name)
  const set = topic.configs[name]
  return configResource(
    cluster,
    'KafkaTopicConfig',
    {
      path: `${topicPath(topic.name)}/configs`,
      names: `/topic=${topic.name}/config`,
      fields: { topic_name: topic.name },
    },
    {
      name,
      value: set ?? entry.default,
      default: entry.default,
      isSet: set !== undefined,
      source: 'DYNAMIC_TOPIC_CONFIG',
      isReadOnly: false,
    },
  )
}

/** The config that the path names, of a topic that exists. */
function configName(context: RouteContext): Parsed<TopicConfigName> {
  const name = context.params.name ?? ''
  if (isTopicConfigName(name)) return { ok: true, value: name }
  return refusal(
    'UNKNOWN_CONFIG',
    `Config ${shown(name)} cannot be found for topic ${shown(context.params.topic_name)}.`,
  )
}

async function alter(context: RouteContext, changes: readonly ConfigChange[], validateOnly = false): Promise<Reply> {
  const altered = await context.log.alterConfigs(context.params.topic_name ?? '', changes, validateOnly)
  return altered.ok ? emptyReply(204) : v3Refusal(altered)
}

async function setConfig(context: RouteContext): Promise<Reply> {
  const body = await readFields(context, ['value'])
  if (!body.ok) return v3Refusal(body)
  const name = configName(context)
  if (!name.ok) return v3Refusal(name)
  const value = parseConfigValue(body.value.value)
  if (typeof value !== 'string')
    return v3Refusal(refusal('INVALID_REQUEST', `value must be a string, not ${shown(body.value.value ?? null)}.`))
  return alter(context, [{ name: name.value, value }])
}

async function resetConfig(context: RouteContext): Promise<Reply> {
  const name = configName(context)
  return name.ok ? alter(context, [{ name: name.value, value: null }]) : v3Refusal(name)
}

async function alterConfigs(context: RouteContext): Promise<Reply> {
  const body = await readFields(context, ['data', 'validate_only'])
  if (!body.ok) return v3Refusal(body)
  const list = parseConfigList(body.value.data, 'data', ['name', 'value', 'operation'])
  if (!list.ok) return v3Refusal(list)
  const validateOnly = optionalField(body.value, 'validate_only', 'boolean')
  if (!validateOnly.ok) return v3Refusal(validateOnly)
  const changes: ConfigChange[] = []
  for (const { name, value, fields } of list.value) {
    if (!isTopicConfigName(name))
      return v3Refusal(refusal('UNKNOWN_CONFIG', `There is no topic config ${shown(name)}.`))
    const { operation } = fields
    switch (operation) {
      case undefined:
      case null:
      case 'SET':
        if (value === null)
          return v3Refusal(refusal('INVALID_REQUEST', `To set ${name} takes a value; to reset it, say DELETE.`))
        changes.push({ name, value })
        break
      case 'DELETE':
        changes.push({ name, value: null })
        break
      default:
        return v3Refusal(
          refusal('INVALID_REQUEST', `operation of ${name} must be SET or DELETE, not ${shown(operation)}.`),
        )
    }
  }
  return alter(context, changes, validateOnly.value === true)
}

const topicConfigSchema = configSchema('KafkaTopicConfig', { topic_name: { type: 'string' } })
const listSchema = collectionSchema('KafkaTopicConfig', topicConfigSchema)
const valueSchema = { type: ['string', 'number', 'boolean'] }

export const v3ConfigRoutes: readonly Route[] = [
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: configsPath,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'listTopicConfigs',
      summary: 'The configs of a topic, by name',
      tags: v3Tags,
      responses: { 200: v3Response('The list, defaults included', listSchema) },
    },
    async handle(context) {
      const [cluster, topic] = await Promise.all([clusterOf(context), findTopic(context)])
      if (!topic.ok) return v3Refusal(topic)
      const self = `${cluster.url}${topicPath(topic.value.name)}/configs`
      const configs = names.map((name) => config(cluster, topic.value, name))
      return jsonReply(200, collection('KafkaTopicConfig', self, configs))
    },
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: `${topicsPath}/-/configs`,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'listAllTopicConfigs',
      summary: 'The configs of all topics',
      tags: v3Tags,
      responses: { 200: v3Response('The list, defaults included', listSchema) },
    },
    async handle(context) {
      const [cluster, topics] = await Promise.all([clusterOf(context), context.log.listTopics()])
      const configs = topics.flatMap((topic) => names.map((name) => config(cluster, topic, name)))
      return jsonReply(200, collection('KafkaTopicConfig', `${cluster.url}/topics/-/configs`, configs))
    },
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: configPath,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'getTopicConfig',
      summary: 'One config of a topic',
      tags: v3Tags,
      responses: { 200: v3Response('The config', topicConfigSchema) },
    },
    async handle(context) {
      const [cluster, topic] = await Promise.all([clusterOf(context), findTopic(context)])
      if (!topic.ok) return v3Refusal(topic)
      const name = configName(context)
      return name.ok ? jsonReply(200, config(cluster, topic.value, name.value)) : v3Refusal(name)
    },
  },
  {
    work: 'admin',
    method: 'PUT',
    path: configPath,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'setTopicConfig',
      summary: 'Set one config of a topic',
      tags: v3Tags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              required: ['value'],
              properties: { value: valueSchema },
              additionalProperties: false,
            },
            example: { value: '3600000' },
          },
        },
      },
      responses: { 204: { description: 'Set' } },
    },
    handle: setConfig,
  },
  {
    work: 'admin',
    method: 'DELETE',
    path: configPath,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'resetTopicConfig',
      summary: 'Give one config of a topic its default back',
      tags: v3Tags,
      responses: { 204: { description: 'Reset' } },
    },
    handle: resetConfig,
  },
  {
    work: 'admin',
    method: 'POST',
    path: `${configsPath}:alter`,
    prefixes: v3Prefixes,
    operation: {
      operationId: 'alterTopicConfigs',
      summary: 'Set and reset several configs of a topic, all or none',
      tags: v3Tags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              required: ['data'],
              properties: {
                data: {
                  type: 'array',
                  items: {
                    type: 'object',
                    required: ['name'],
                    properties: {
                      name: { type: 'string' },
                      value: { type: ['string', 'number', 'boolean', 'null'] },
                      operation: { enum: ['SET', 'DELETE', null], default: 'SET' },
                    },
                    additionalProperties: false,
                  },
                },
                validate_only: { type: ['boolean', 'null'], default: false },
              },
              additionalProperties: false,
            },
            example: {
              data: [
                { name: 'cleanup.policy', operation: 'DELETE' },
                { name: 'compression.type', value: 'gzip' },
              ],
            },
          },
        },
      },
      responses: { 204: { description: 'Altered; with validate_only, found in order' } },
    },
    handle: alterConfigs,
  },
]
