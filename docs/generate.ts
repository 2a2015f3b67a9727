/** Writes the pages that are tables of the code: `npm run docs`. A test holds the pages to what this makes. */
import { writeFileSync } from 'node:fs'
import {
  commitRefusals,
  countMetrics,
  holdMsMax,
  type MetricEntry,
  maintainMetrics,
  metricsNamespace,
  requestMetrics,
  serverMetrics,
  stepMetrics,
  usageProperties,
} from '../functions/metrics.ts'
import { counterName } from '../functions/server-metrics.ts'
import { errorCatalogue } from '../lib/core/errors.ts'
import type { Setting } from '../lib/core/settings.ts'
import { settingsTable } from '../lib/core/settings.ts'
import type { TopicConfigEntry } from '../lib/core/topic.ts'
import { topicConfigs } from '../lib/core/topic.ts'
import { operations } from '../lib/core/usage.ts'

const generated = '<!-- Made by `npm run docs` from the code; edits are lost. -->'

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(([code, entry]) => [
    `\`${code}\``,
    `${entry.status}`,
    `${entry.restCode}`,
    entry.kafkaCode === -1 ? '' : `${entry.kafkaCode}`,
    entry.retriable ? 'yes' : 'no',
    entry.effects,
    entry.whatToDo,
  ])
  return `# Errors

${generated}

Every error of every face is one of these (\`lib/core/errors.ts\`). Over HTTP the body is \`{"error_code": …, "message": "…"}\` with the
\`error_code\` of the Kafka REST conventions, whose first three digits are the status. *Effects* says whether the write may have
happened although it was answered with the error.

${table(['code', 'status', 'error_code', "Kafka's code", 'retry can help', 'effects', 'what to do'], rows)}
`
}

function settingsPage(): string {
  const rows = Object.entries(settingsTable as Record<string, Setting>).map(([name, setting]) => [
    `\`${name}\``,
    `${setting.default}`,
    setting.unit,
    setting.min === undefined ? '' : `${setting.min} to ${setting.max}`,
    setting.kafka ?? '',
    setting.meaning,
  ])
  return `# Settings

${generated}

Settings of a log (\`lib/core/settings.ts\`): options of \`highwater start\` (\`lingerMs\` is \`--linger-ms\`), and the second argument of
\`createLog\`. What belongs to one topic is a [topic config](topic-configs.md).

${table(['setting', 'default', 'unit', 'range', "Kafka's name", 'meaning'], rows)}
`
}

function topicConfigsPage(): string {
  const rows = Object.entries(topicConfigs as Record<string, TopicConfigEntry>).map(([name, entry]) => [
    `\`${name}\``,
    entry.type,
    `\`${entry.default}\``,
    entry.effect === 'some' ? 'yes' : 'accepted only',
    entry.doc,
  ])
  return `# Topic configs

${generated}

Kafka's names, types, ranges and defaults (\`lib/core/topic.ts\`). *Accepted only* means that Kafka's tools may set it and nothing here
depends on it. What retention and key compaction do with theirs: [upkeep.md](upkeep.md).

${table(['config', 'type', 'default', 'has an effect', 'meaning'], rows)}
`
}

function metricsPage(): string {
  const rows = (entries: Readonly<Record<string, MetricEntry>>) =>
    Object.values(entries).map(({ name, unit, meaning }) => [`\`${name}\``, unit, meaning])
  const all = [requestMetrics, countMetrics, stepMetrics, { commitRefusals }, maintainMetrics]
  return `# Metrics

${generated}

What the [functions](functions.md) tell CloudWatch, in the namespace \`${metricsNamespace}\` (\`functions/metrics.ts\`). Every metric has the dimensions
\`service\` (POWERTOOLS_SERVICE_NAME: one deployment among others) and \`function\`; \`${commitRefusals.name}\` has \`reason\`, too. Nothing that grows with
the log, such as a topic or a partition, is ever a dimension. Beside them, Powertools counts \`ColdStart\` by \`function_name\`.

Calls of one environment that follow each other within ${holdMsMax / 1_000} s share a line: counts and bytes as sums, times each with its own value. An
environment that is called less often writes a line for each call. So what calls tell is up to ${holdMsMax / 1_000} s late, or as late as the environment's next
call, and carries the time of the first call that it is of. An environment that ends takes with it what it held: at most what its last
${holdMsMax / 1_000} s of calls had to tell. Errors and commits of unknown outcome, with all that is held, are written when their call ends; what is logged as a line of its own is never held.

${table(['metric', 'unit', 'meaning'], all.flatMap(rows))}

## Who asked for how much

Beside these lines, environments write what they asked the stores for, a short line for each operation and topic, as often (beyond fifty topics, the others together): \`usage\` (the operation), \`topic\`,
\`function\`, \`requests\`, and ${usageProperties.map((name) => `\`${name}\``).join(', ')}, the units of [the price list](costs.md#prices). They are properties of no metric, so that CloudWatch bills
nothing but their bytes. The saved query \`cost by topic\` of CloudWatch Logs Insights adds them up ([costs.md](costs.md#of-a-running-cluster)).

Operations are ${operations.map((name) => `\`${name}\``).join(', ')} (\`lib/core/usage.ts\`).

## Prometheus

A server (\`highwater start\`) tells Prometheus, in its text format, at \`GET /metrics\`:

\`\`\`yaml
scrape_configs:
  - job_name: highwater
    scrape_interval: 15s
    static_configs:
      - targets: ['127.0.0.1:8082']
    # With --require-keys: a key that allows admin.
    authorization:
      credentials: hw5k0vq3x1m9c2f7ab.secret
\`\`\`

It is on the port of everything else, and asks for the right to administrate, since it names topics: one address, one way in, and no second port that a firewall must know of. The key that Prometheus holds
may do what an administrator may; a proxy that lets nothing but \`/metrics\` through is what to put before it where that is too much. Functions have no such route: what would be asked is not there the next time.

A topic is a label where the meter keeps it apart: 200 of them, those that were idle for an hour give way, and \`(other)\` is what the rest has together. Partitions are no label: a
log may have 100,000. How far a group is behind is asked of the group (\`highwater groups lag\`).

${table(['metric', 'labels', 'meaning'], [...Object.values(serverMetrics).map(({ name, labels, meaning }) => [`\`${name}\``, labels.join(', '), meaning]), ...Object.values(countMetrics).map(({ name, meaning }) => [`\`${counterName(name)}\``, /^(Records|Bytes)(Appended|Fetched|Repeated)$/.test(name) ? 'topic' : '', meaning])])}

Beside them, what prom-client says of the process: processor time, memory, garbage collection, how late the event loop is.
`
}

/** Path in docs/ -> content. */
export const pages: Readonly<Record<string, string>> = {
  'errors.md': errorsPage(),
  'metrics.md': metricsPage(),
  'settings.md': settingsPage(),
  'topic-configs.md': topicConfigsPage(),
}

if (import.meta.main)
  for (const [name, content] of Object.entries(pages)) writeFileSync(new URL(name, import.meta.url), content)
