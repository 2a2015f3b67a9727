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
  stepMetrics,
} from '../functions/metrics.ts'
import { errorCatalogue } from '../lib/core/errors.ts'
import type { Setting } from '../lib/core/settings.ts'
import { settingsTable } from '../lib/core/settings.ts'
import type { TopicConfigEntry } from '../lib/core/topic.ts'
import { topicConfigs } from '../lib/core/topic.ts'

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
