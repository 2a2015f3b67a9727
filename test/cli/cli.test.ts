import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StartServerOptions } from '../../lib/cli/io.ts'
import { settingsTable } from '../../lib/core/settings.ts'
import { createTerminal, noServer } from './terminal.ts'

describe('the command line', () => {
  it('prints its version and its help on standard output, with exit code 0', async () => {
    const { run } = createTerminal()
    assert.deepEqual(await run('--version').then(({ code, stdout }) => [code, stdout]), [0, '1.2.3\n'])
    const help = await run('--help')
    assert.equal(help.code, 0)
    for (const command of ['start', 'topics', 'produce', 'consume', 'offsets', 'delete-records'])
      assert.match(help.stdout, new RegExp(`^ +${command} `, 'm'))
    assert.match((await run('consume --help')).stdout, /--key-separator/)
  })

  it('exits with 2 and a sentence on standard error when it is asked wrongly', async () => {
    const { run } = createTerminal()
    for (const [args, said] of [
      ['', /Usage: highwater/],
      ['topics', /Usage: highwater topics/],
      ['dance', /unknown command 'dance'/],
      ['consume', /required option '-t, --topic <topic>' not specified/],
      ['consume -t t -o tomorrow', /It is beginning, end, N, -N, or s@/],
      ['consume -t t -f %q', /%q means nothing/],
      ['consume -t t -J -f %s', /exclude each other/],
      ['produce -t t -p one', /It is a whole number/],
      ['produce -t t -z zip', /Allowed choices are none, gzip, snappy, lz4/],
      ['produce -t t --key-field id', /needs --json-lines/],
      ['topics alter t', /Say what to alter/],
      ['delete-records -t t --before 5', /say which with -p/],
      ['start --linger-ms 5000', /It is a whole number from 0 to 1000/],
      ['offsets -t t --url nonsense', /"nonsense" is not the URL of a server/],
    ] as const) {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([args, code, stdout], [args, 2, ''])
      assert.match(stderr, said)
    }
  })

  it('exits with 1 and one sentence when a command fails', async () => {
    const { run } = createTerminal()
    for (const args of [
      'topics describe missing',
      'consume -t missing',
      'offsets -t missing',
      'topics delete missing',
    ]) {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([args, code, stdout], [args, 1, ''])
      assert.match(stderr, /^highwater: .*missing.*\.\n$/)
    }
  })

  it('finds the server by --url before or behind the command, then by HIGHWATER_URL, then on this machine', async () => {
    const { run, fetch } = createTerminal()
    const urls: string[] = []
    const io = {
      env: { HIGHWATER_URL: 'http://env.test/prefix' },
      fetch: (url: string, init: RequestInit) => {
        urls.push(url.slice(0, url.indexOf('/v3')))
        return fetch(url.replace('/prefix', ''), init)
      },
    }
    await run('topics list', '', { fetch: io.fetch })
    await run('topics list', '', io)
    await run('--url http://before.test topics list', '', io)
    await run('--url http://before.test topics list --url http://behind.test', '', io)
    assert.deepEqual(
      [...new Set(urls)],
      ['http://127.0.0.1:8082', 'http://env.test/prefix', 'http://before.test', 'http://behind.test'],
    )
  })

  it('sends the headers that it is given', async () => {
    const { run, fetch } = createTerminal()
    const seen = new Set<string | null>()
    const recording = (url: string, init: RequestInit) => {
      seen.add(new Headers(init.headers).get('authorization'))
      return fetch(url, init)
    }
    await run(`topics list --http-header 'Authorization: Bearer x'`, '', { fetch: recording })
    assert.deepEqual([...seen], ['Bearer x'])
  })

  it('rejects for a bug, and only then', async () => {
    const { run } = createTerminal()
    await assert.rejects(run('start'), /no server was to be started/)
  })
})

describe('highwater start', () => {
  const given = (options: StartServerOptions[], events: string[]) => ({
    ...noServer,
    startServer: async (asked: StartServerOptions) => {
      options.push(asked)
      return { url: 'http://127.0.0.1:1234', close: async () => void events.push('closed') }
    },
  })

  it('starts a server with the options, says where, and stops it when it is interrupted', async () => {
    const { begin } = createTerminal()
    const options: StartServerOptions[] = []
    const events: string[] = []
    const session = begin(
      `start --port 0 --data there --cors '*' --linger-ms 7 --auto-create-topics --public-url https://x.test`,
      {},
      given(options, events),
    )
    await session.stdout.shows('\n')
    assert.deepEqual(events, [])
    session.interrupt()
    assert.equal((await session.ended).code, 0)
    assert.equal(session.stdout.text, 'Highwater listens on http://127.0.0.1:1234 (there)\n')
    assert.deepEqual(events, ['closed'])
    assert.deepEqual(options, [
      {
        host: '127.0.0.1',
        port: 0,
        dataDir: 'there',
        cors: ['*'],
        publicUrl: 'https://x.test',
        settings: { lingerMs: 7, autoCreateTopics: true },
      },
    ])
  })

  it('has a flag for every setting, and none has to be given', async () => {
    const { begin, run } = createTerminal()
    const { stdout } = await run('start --help')
    for (const name of Object.keys(settingsTable)) {
      if (name === 'isSoleProcess') continue
      const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
      assert.ok(stdout.includes(`${flag} `), flag)
    }
    const options: StartServerOptions[] = []
    const session = begin('start --memory', {}, given(options, []))
    await session.stdout.shows('(in memory)')
    session.interrupt()
    await session.ended
    assert.deepEqual(options, [{ host: '127.0.0.1', port: 8082, settings: {} }])
  })

  it('asks for API keys where it is told to, but not with nothing that could hold one', async () => {
    const { begin, run } = createTerminal()
    const options: StartServerOptions[] = []
    const session = begin('start --require-keys --host 0.0.0.0', {}, given(options, []))
    await session.stdout.shows('\n')
    session.interrupt()
    assert.equal((await session.ended).stderr, '')
    assert.equal(options[0]?.requireKeys, true)
    assert.equal((await run('start --require-keys --memory', '', {}, given([], []))).code, 2)
  })

  for (const [host, isWarned] of [
    ['127.0.0.1', false],
    ['127.1.2.3', false],
    ['localhost', false],
    ['::1', false],
    ['0.0.0.0', true],
    ['::', true],
    ['10.0.0.7', true],
    ['127.example.org', true],
  ] as const)
    it(`${isWarned ? 'warns' : 'does not warn'} that anybody may do everything on ${host}`, async () => {
      const { begin } = createTerminal()
      const session = begin(`start --memory --host ${host}`, {}, given([], []))
      await session.stdout.shows('\n')
      session.interrupt()
      const { code, stderr } = await session.ended
      assert.equal(code, 0)
      assert.equal(stderr.includes('--require-keys'), isWarned)
    })

  it('says in one sentence why it cannot start', async () => {
    const { run } = createTerminal()
    const failure = Object.assign(new Error('Port 8082 is in use.'), { name: 'StartError' })
    const { code, stderr } = await run('start', '', {}, { ...noServer, startServer: () => Promise.reject(failure) })
    assert.deepEqual([code, stderr], [1, 'highwater: Port 8082 is in use.\n'])
  })
})

describe('highwater topics', () => {
  it('creates, lists, describes, alters and deletes', async () => {
    const { run } = createTerminal()
    const out = async (args: string) => {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([args, code, stderr], [args, 0, ''])
      return stdout
    }
    assert.equal(
      await out('topics create b a --partitions 2 --config retention.ms=1000 --config cleanup.policy=compact'),
      'Created topic b.\nCreated topic a.\n',
    )
    assert.equal(await out('topics create a --if-not-exists'), 'Topic a exists.\n')
    assert.equal(await out('topics list'), 'a\nb\n')
    assert.equal(
      await out('topics alter b --partitions 3 --config retention.ms=5 --delete-config cleanup.policy'),
      'Altered topic b.\n',
    )
    assert.match(
      await out('topics describe b'),
      /^Topic: b\t(TopicId: \S+\t)?PartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=5\n(\tTopic: b\tPartition: \d\tLeader: 0\tReplicas: 0\tIsr: 0\n){3}$/,
    )
    assert.equal(await out('topics describe missing --if-exists'), '')
    assert.equal(await out('topics delete b missing --if-exists'), 'Deleted topic b.\nTopic missing does not exist.\n')
    const [described] = JSON.parse(await out('topics describe --json'))
    assert.equal(described.name, 'a')
    assert.deepEqual(described.partitions[1], { partition: 1, startOffset: 0, endOffset: 0 })
    assert.deepEqual(described.configs['retention.ms'], { value: '1000', isDefault: false })
    assert.equal(JSON.parse(await out('topics list --json'))[0].partitions, 2)
  })

  it('stops at what is wrong', async () => {
    const { run } = createTerminal()
    await run('topics create a')
    assert.equal((await run('topics create a')).code, 1)
    assert.match((await run('topics create b --config retention.ms=soon')).stderr, /retention\.ms/)
    assert.match((await run('topics alter a --partitions 1')).stderr, /^highwater: /)
  })
})

describe('highwater offsets and delete-records', () => {
  it('print topic:partition:offset', async () => {
    const { run } = createTerminal()
    await run('topics create t --partitions 2')
    await run('produce -t t -p 1', 'a\nb\nc\n')
    const out = async (args: string) => (await run(args)).stdout
    assert.equal(await out('offsets -t t'), 't:0:0:0\nt:1:0:3\n')
    assert.equal(await out('offsets -t t -p 1 --time latest'), 't:1:3\n')
    assert.equal(await out('delete-records -t t -p 1 --before 2'), 't:1:2\n')
    assert.equal(await out('offsets -t t --time earliest'), 't:0:0\nt:1:2\n')
    assert.equal(await out('offsets -t t --time 2020-01-01'), 't:0:0\nt:1:2\n')
    assert.equal(await out('offsets -t t --time 9999999999999'), 't:0:0\nt:1:3\n')
    assert.equal(await out('delete-records -t t --before end'), 't:0:0\nt:1:3\n')
    assert.deepEqual(JSON.parse(await out('offsets -t t -p 1 --json')), [
      { topic: 't', partition: 1, startOffset: 3, endOffset: 3 },
    ])
  })
})
