import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
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
      ['cost', /--estimate/],
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
