import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { createTerminal } from './terminal.ts'

async function world() {
  const terminal = createTerminal()
  await terminal.run('topics create t --partitions 2')
  await terminal.run('produce -t t -p 0', '00\n01\n02\n03')
  await terminal.run('produce -t t -p 1', '10\n11')
  const out = async (args: string) => {
    const { code, stdout, stderr } = await terminal.run(args)
    assert.deepEqual([args, code, stderr], [args, 0, ''])
    return stdout
  }
  const lines = async (args: string) => (await out(args)).trim().split('\n')
  const usage = async (args: string, message: RegExp) => {
    const { code, stderr } = await terminal.run(args)
    assert.deepEqual([args, code], [args, 2])
    assert.match(stderr, message)
  }
  return { ...terminal, out, lines, usage }
}

describe('highwater consume --group', () => {
  it('prints what the group has not read yet, and commits it', async () => {
    const { lines, out, run } = await world()
    assert.deepEqual((await lines('consume -g g -t t -e')).sort(), ['00', '01', '02', '03', '10', '11'])
    assert.equal(await out('consume -g g -t t -e'), '')
    await run('produce -t t -p 1', '12')
    assert.equal(await out('consume -g g -t t -e'), '12\n')
    assert.equal(await out('consume -g g -t t -e -c 0'), '')
  })

  it('stops after -c records, having committed exactly these', async () => {
    const { lines, out } = await world()
    const first = await lines('consume -g g -t t -c 3')
    assert.equal(first.length, 3)
    const rest = await lines('consume -g g -t t -e')
    assert.deepEqual([...first, ...rest].sort(), ['00', '01', '02', '03', '10', '11'])
    assert.equal(
      await out('groups lag g'),
      'GROUP  TOTAL-LAG  MAX-LAG  TOPIC  PARTITION\ng      0          0        t      0\n',
    )
  })

  it('reads several topics, or what matches a pattern, in the formats there are', async () => {
    const { out, lines, run } = await world()
    await run('topics create orders-a orders-b')
    await run('produce -t orders-a', 'a')
    await run('produce -t orders-b', 'b')
    assert.deepEqual((await lines(`consume -g x -t orders-a -t orders-b -e -f '%t=%s\\n'`)).sort(), [
      'orders-a=a',
      'orders-b=b',
    ])
    assert.deepEqual((await lines(`consume -g y --topic-pattern 'orders-.*' -e -f '%t/%p@%o\\n'`)).sort(), [
      'orders-a/0@0',
      'orders-b/0@0',
    ])
    assert.equal(JSON.parse(await out('consume -g z -t orders-a -e -J')).topic, 'orders-a')
    assert.equal(await out('consume -g w -t orders-a -e --from latest'), '')
  })

  it('waits for more until it is interrupted; then what was printed is committed and the group is left', async () => {
    const { begin, run, out, fetch } = await world()
    // The first poll asks where the end is; from the second on, nothing may be missed.
    const began = Promise.withResolvers<void>()
    let polls = 0
    const session = begin('consume -g g -t t --from latest', {
      fetch: (url, init) => {
        if (url.endsWith('/poll') && ++polls === 2) began.resolve()
        return fetch(url, init)
      },
    })
    await began.promise
    await run('produce -t t -p 0', 'x')
    await session.stdout.shows('x\n')
    session.interrupt()
    const ended = await session.ended
    assert.deepEqual([ended.code, ended.stdout, ended.stderr], [0, 'x\n', ''])
    assert.match(
      await out('groups describe g'),
      /^Consumer group 'g' has no active members\.\n\nGROUP .*\ng +t +0 +5 +5 +0 +- +- +-\n/,
    )
    assert.equal(await out('consume -g g -t t -e'), '')
  })

  it('commits nothing of what its reader did not take', async () => {
    const { begin, lines } = await world()
    const closed = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
      },
    })
    const session = begin('consume -g g -t t', { stdout: closed })
    assert.deepEqual(await session.ended.then(({ code, stderr }) => [code, stderr]), [0, ''])
    assert.equal((await lines('consume -g g -t t -e')).length, 6)
  })

  it('is asked for what makes sense', async () => {
    const { usage } = await world()
    await usage('consume', /required option '-t, --topic <topic>' not specified/)
    await usage('consume -t t -t u', /Several topics take a --group/)
    await usage('consume -t t --from latest', /--from takes a --group/)
    await usage('consume -t t --instance-id x', /--instance-id takes a --group/)
    await usage('consume -g g', /Name topics with -t, or a --topic-pattern/)
    await usage('consume -g g -t t --topic-pattern x', /Name topics with -t, or a --topic-pattern/)
    await usage('consume -g g -t t -p 0', /The group says which partitions/)
    await usage('consume -g g -t t -o beginning', /The group says which partitions/)
    await usage('consume -g g -t t --from middle', /Allowed choices are earliest, latest, none/)
  })
})

describe('highwater groups', () => {
  it('describes offsets, members and states in the columns of kafka-consumer-groups', async () => {
    const { lines, out, log, run } = await world()
    const subscription = { kind: 'topics', topics: ['t'] } as const
    const joined = await log.groups.join({ group: 'g', memberId: 'm-1', clientId: 'worker', subscription })
    assert.ok(joined.ok)
    const claim = joined.assigned.find(({ partition }) => partition === 0)!.claim
    assert.ok((await log.groups.commit('g', [{ topic: 't', partition: 0, offset: 1, claim }])).ok)
    assert.deepEqual(
      (await lines('groups describe g')).map((line) => line.split(/ +/)),
      [
        ['GROUP', 'TOPIC', 'PARTITION', 'CURRENT-OFFSET', 'LOG-END-OFFSET', 'LAG', 'CONSUMER-ID', 'HOST', 'CLIENT-ID'],
        ['g', 't', '0', '1', '4', '3', 'm-1', '-', 'worker'],
        ['g', 't', '1', '-', '2', '-', 'm-1', '-', 'worker'],
      ],
    )
    assert.deepEqual(
      (await lines('groups describe --members --verbose')).map((line) => line.split(/ {2,}/)),
      [
        ['GROUP', 'CONSUMER-ID', 'HOST', 'CLIENT-ID', '#PARTITIONS', 'ASSIGNMENT'],
        ['g', 'm-1', '-', 'worker', '2', 't(0,1)'],
      ],
    )
    assert.deepEqual(
      (await lines('groups describe g --state')).map((line) => line.split(/ {2,}/)),
      [
        ['GROUP', 'ASSIGNMENT-STRATEGY', 'STATE', '#MEMBERS'],
        ['g', 'cooperative-sticky', 'Stable', '1'],
      ],
    )
    assert.equal(await out('groups list'), 'g\n')
    assert.equal(await out('groups list --state'), 'GROUP  STATE   #MEMBERS\ng      Stable  1\n')
    const [listed] = JSON.parse(await out('groups list --json'))
    assert.deepEqual([listed.group, listed.state, listed.memberCount], ['g', 'Stable', 1])
    const [described] = JSON.parse(await out('groups describe --json'))
    assert.equal(described.offsets[1].currentOffset, null)
    assert.equal(JSON.parse(await out('groups lag --json'))[0].totalLag, 5)
    assert.match((await run('groups describe none')).stderr, /none/)
    assert.equal((await run('groups describe none')).code, 1)
  })

  it('says what resetting would do, and does it with --execute', async () => {
    const { run, out, usage } = await world()
    await out('consume -g g -t t -e')
    const dry = await run('groups reset-offsets g -t t:0 --to-earliest')
    assert.deepEqual(
      [dry.code, dry.stdout, dry.stderr],
      [
        0,
        'GROUP  TOPIC  PARTITION  NEW-OFFSET\ng      t      0          0\n',
        'highwater: Nothing was changed. Add --execute to do it.\n',
      ],
    )
    assert.equal(await out('consume -g g -t t -e'), '')
    const reset = async (args: string) => {
      const rows = JSON.parse(await out(`groups reset-offsets g ${args} --execute --json`)) as {
        partition: number
        offset: number
      }[]
      return rows.map(({ partition, offset }) => `${partition}:${offset}`).join(' ')
    }
    assert.equal(await reset('--all-topics --to-earliest'), '0:0 1:0')
    assert.equal(await reset('-t t --to-latest'), '0:4 1:2')
    assert.equal(await reset('-t t:0 --shift-by -3'), '0:1')
    assert.equal(await reset('-t t:0,1 --to-offset 1'), '0:1 1:1')
    assert.equal(await reset('-t t --to-current'), '0:1 1:1')
    assert.equal(await reset('-t t --to-datetime 2000-01-01'), '0:0 1:0')
    assert.equal(await reset('-t t --by-duration PT1H'), '0:0 1:0')
    assert.equal((await out('consume -g g -t t -e')).split('\n').length, 7)
    await usage('groups reset-offsets g -t t', /Say where to/)
    await usage('groups reset-offsets g -t t --to-latest --to-earliest', /Say where to/)
    await usage('groups reset-offsets g --to-latest', /Name topics with -t/)
    await usage('groups reset-offsets g -t t --to-latest --dry-run --execute', /exclude each other/)
    await usage('groups reset-offsets g -t t:x --to-latest', /is not <topic>/)
    await usage('groups reset-offsets g -t t --by-duration 1h', /ISO 8601 duration/)
    await usage('groups reset-offsets g -t t --to-datetime tomorrow', /ISO 8601 time/)
  })

  it('deletes offsets and groups', async () => {
    const { out, run } = await world()
    await out('consume -g g -t t -e')
    assert.equal(await out('groups delete-offsets g -t t:1'), 'Deleted 1 offset of t.\n')
    assert.equal(await out('groups delete-offsets g -t t'), 'Deleted 1 offset of t.\n')
    assert.equal(await out('groups delete g'), 'Deleted group g.\n')
    const again = await run('groups delete g')
    assert.deepEqual([again.code, again.stdout], [1, ''])
    assert.equal(await out('groups list'), '')
  })
})
