import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startServer } from '../../functions/server.ts'
import { createTerminal } from './terminal.ts'

const offline = { fetch: () => Promise.reject(new Error('nobody is to be asked')) }
const run = (args: string) => createTerminal().run(args, '', offline)

describe('highwater cost --estimate', () => {
  test('prints what is used by what it is for, and a total that is the sum, asking nobody', async () => {
    const { code, stdout } = await run('cost --estimate --records-per-second 1')
    assert.equal(code, 0)
    const lines = stdout.trimEnd().split('\n')
    const amounts = lines.slice(0, -1).map((line) => Number(/([0-9.,]+)$/.exec(line)?.[1]?.replaceAll(',', '')))
    const total = amounts.pop() ?? 0
    assert.ok(Math.abs(amounts.reduce((sum, each) => sum + each, 0) - total) < 0.1, stdout)
    for (const purpose of ['gateway', 'functions', 'logs', 'stores', 'upkeep', 'storage', 'total'])
      assert.ok(
        lines.some((line) => line.startsWith(purpose)),
        purpose,
      )
    assert.match(lines.at(-1) ?? '', /^Batches go to DynamoDB until they are merged/)
  })

  test('prints JSON whose bills make the total, and the load that they are of', async () => {
    const { code, stdout } = await run(
      'cost --estimate --records-per-second 1048.576 --records-per-request 1000 --through url --retention 12h --partitions 4 --json',
    )
    assert.equal(code, 0)
    const printed = JSON.parse(stdout)
    assert.deepEqual(printed.load, {
      recordsPerSecond: 1048.576,
      recordBytes: 1_000,
      recordsPerRequest: 1_000,
      partitions: 4,
      retentionMs: 43_200_000,
      through: 'url',
      placement: 'auto',
    })
    const bills: { usd: number }[] = Object.values(printed.bills)
    assert.ok(Math.abs(bills.reduce((sum, { usd }) => sum + usd, 0) - printed.usdPerMonth) < 1e-6)
    assert.equal(printed.bills.gateway.usd, 0)
    assert.equal(printed.isInline, false)
  })

  test('a topic that wants its batches elsewhere pays more for it', async () => {
    const total = async (placement: string) =>
      JSON.parse((await run(`cost --estimate --records-per-second 5 --placement ${placement} --json`)).stdout)
        .usdPerMonth
    assert.ok((await total('segment')) > (await total('inline')))
    assert.equal(await total('auto'), await total('inline'))
  })

  test('an idle log is its upkeep alone', async () => {
    const { stdout } = await run('cost --estimate --records-per-second 0')
    assert.doesNotMatch(stdout, /gateway|stores|storage|Batches/)
    assert.match(stdout, /^upkeep/)
  })

  test('what is missing, or is no number, is asked for', async () => {
    for (const [args, words] of [
      ['cost --records-per-second 1', /--estimate/],
      ['cost --estimate', /--records-per-second/],
      ['cost --estimate --records-per-second many', /a number of at least 0/],
      ['cost --estimate --records-per-second 1 --retention week', /s, m, h or d/],
      ['cost --estimate --records-per-second 1 --records-per-request 0', /from 1 to/],
      ['cost --estimate --records-per-second 1 --through tunnel', /api, url/],
    ] as const) {
      const { code, stderr, stdout } = await run(args)
      assert.equal(code, 2, args)
      assert.match(stderr, words)
      assert.equal(stdout, '')
    }
  })
})

describe('highwater cost of a running log', () => {
  const online = { fetch: (url: string, init: RequestInit) => fetch(url, init) }
  const served = async (work: (ask: (args: string, input?: string) => ReturnType<typeof run>) => Promise<void>) => {
    const server = await startServer({ host: '127.0.0.1', port: 0 })
    const terminal = createTerminal()
    try {
      await work((args, input = '') => terminal.run(`${args} --url ${server.url}`, input, online))
    } finally {
      await server.close()
    }
  }

  test('prints requests by topic and operation, what is stored, and a total that is the sum', () =>
    served(async (ask) => {
      await ask('topics create orders clicks')
      assert.equal((await ask('produce -t orders', 'one\ntwo\n')).code, 0)
      assert.equal((await ask('consume -t orders -o beginning -e')).stdout, 'one\ntwo\n')
      const { code, stdout } = await ask('cost')
      assert.equal(code, 0)
      for (const line of [
        /^The log, over the last \d+ s, priced as on AWS, requests to the stores alone:$/m,
        /^orders +produce +[1-9]\d* +0 +0 +[1-9]\d* +\d+ +\d+\.\d+$/m,
        /^orders +fetch +[1-9]/m,
        /^- +admin +[1-9]/m,
        /^OPERATION +REQUESTS/m,
        /^STORED +MB IN OBJECTS +MB INLINE +USD\/MONTH$/m,
        /^orders +0\.0 +0\.000 +0\.000001$/m,
      ])
        assert.match(stdout, line)
      const amount = (name: string) => Number(new RegExp(`^${name} +([0-9.]+)`, 'm').exec(stdout)?.[1])
      assert.ok(amount('together') > 0)
      const perMonth = Number(/, ([0-9.]+) in a month of 730 hours/.exec(stdout)?.[1])
      assert.ok(Math.abs(amount('together') - perMonth - amount('storage')) < 0.02, stdout)
    }))

  test('prints JSON in which units are priced by the list, since the start and in the window', () =>
    served(async (ask) => {
      await ask('topics create orders')
      await ask('produce -t orders', 'one\n')
      const report = JSON.parse((await ask('cost --json')).stdout)
      const produced = report.used.find((use: { operation: string }) => use.operation === 'produce')
      assert.equal(produced.topic, 'orders')
      assert.deepEqual(produced.sinceStart, produced.inWindow)
      const { dynamoDbWrite = 0, dynamoDbRead = 0 } = produced.inWindow.units
      assert.ok(Math.abs(produced.inWindow.usd - (dynamoDbWrite * 0.625 + dynamoDbRead * 0.125) / 1e6) < 1e-12)
      assert.equal(report.scope, 'log')
      assert.equal(report.isStoredWhole, true)
      const sum = report.used.reduce((total: number, use: { usdPerMonth: number }) => total + use.usdPerMonth, 0)
      assert.ok(Math.abs(sum - report.usdPerMonth) < 1e-9)
    }))

  test('where functions serve the log, says that they cannot know, and what to do', async () => {
    const { code, stderr, stdout } = await createTerminal().run('cost')
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /runs as functions.*CloudWatch Logs Insights.*--estimate/)
  })
})
