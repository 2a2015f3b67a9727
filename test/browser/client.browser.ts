/**
 * The client in a real browser, against a real server of another origin: batches, compression, long polls, errors and repeats
 * where there is no Node. Needs Chromium: CHROMIUM_PATH, otherwise /usr/bin/chromium.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { type Browser, chromium, type Page } from 'playwright-core'
import { type Started, startServer } from '../../functions/server.ts'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { Highwater, text } from '../../lib/client/highwater.ts'
import { bundleClient } from './bundle.ts'

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const chromiumArgs = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

type Client = typeof import('../../lib/client/highwater.ts')
/** What the page has of it. */
declare global {
  var client: Client
  var serverUrl: string
}

describe('the client in a browser', () => {
  const pages = createServer()
  let server: Started
  let browser: Browser
  let page: Page

  before(async () => {
    assert.ok(
      existsSync(executablePath),
      `There is no browser at ${executablePath}: install Chromium, or name one in CHROMIUM_PATH.`,
    )
    const { code } = await bundleClient()
    pages.on('request', (request, response) => {
      const isCode = request.url === '/client.js'
      response.setHeader('content-type', isCode ? 'text/javascript' : 'text/html')
      response.end(isCode ? code : '<!doctype html><title>client</title>')
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
    server = await startServer({ host: '127.0.0.1', port: 0, cors: [origin] })
    browser = await chromium.launch({ executablePath, args: chromiumArgs })
    page = await browser.newPage()
    await page.goto(origin)
    await page.evaluate(async (url) => {
      const module = '/client.js'
      globalThis.client = await import(module)
      globalThis.serverUrl = url
    }, server.url)
  })
  after(async () => {
    await browser?.close()
    await server?.close()
    pages.close()
  })

  for (const compression of ['none', 'gzip', 'snappy', 'lz4'] as const)
    it(`produces and reads with compression ${compression}`, async () => {
      const read = await page.evaluate(async (compression) => {
        const { Highwater, text } = globalThis.client
        const highwater = new Highwater({ url: globalThis.serverUrl })
        const topic = `browser-${compression}`
        await highwater.admin.createTopic(topic)
        const producer = highwater.producer({ compression })
        const values = Array.from({ length: 1_000 }, (_, index) => `${index} ${'grüße '.repeat(20)}`)
        const sent = await Promise.all(
          values.map((value, index) => producer.send({ topic, key: `k${index}`, value, headers: { h: '✓' } })),
        )
        await producer.close()
        const reader = highwater.reader({ topic, partition: 0 })
        const mistakes: string[] = []
        let count = 0
        for await (const record of reader) {
          const index = count++
          if (record.offset !== index || sent[index]?.offset !== index) mistakes.push(`offset ${record.offset}`)
          if (text(record.value) !== values[index]) mistakes.push(`value of ${record.offset}`)
          if (text(record.key) !== `k${index}`) mistakes.push(`key of ${record.offset}`)
          if (text(record.headers[0]?.value ?? null) !== '✓') mistakes.push(`header of ${record.offset}`)
          if (reader.lag === 0) break
        }
        return { count, mistakes }
      }, compression)
      assert.deepEqual(read, { count: 1_000, mistakes: [] })
    })

  it('reads what Node wrote compressed with zstd, without asking the server to decompress it', async (context) => {
    const codecs = {
      zstd: {
        compress: (bytes: Uint8Array) => nativeCodecs.compress('zstd', bytes),
        decompress: () => assert.fail('nothing is read here'),
      },
    }
    const highwater = new Highwater({ url: server.url, codecs })
    await highwater.admin.createTopic('browser-zstd')
    const producer = highwater.producer({ compression: 'zstd' })
    for (const value of ['a', 'b', 'c']) await producer.send({ topic: 'browser-zstd', value: value.repeat(1_000) })
    await producer.close()
    const { lengths, types, isBuiltIn } = await page.evaluate(async () => {
      const { Highwater } = globalThis.client
      const types = new Set<string | null>()
      const seen: typeof fetch = async (url, init) => {
        const response = await fetch(url, init)
        types.add(response.headers.get('content-type'))
        return response
      }
      const highwater = new Highwater({ url: globalThis.serverUrl, fetch: seen as never })
      const reader = highwater.reader({ topic: 'browser-zstd', partition: 0 })
      const lengths: (number | undefined)[] = []
      for await (const record of reader) {
        lengths.push(record.value?.length)
        if (reader.lag === 0) break
      }
      let isBuiltIn = true
      try {
        new DecompressionStream('zstd' as CompressionFormat)
      } catch {
        isBuiltIn = false
      }
      return { lengths, types: [...types], isBuiltIn }
    })
    context.diagnostic(`this browser ${isBuiltIn ? 'knows' : 'does not know'} zstd`)
    assert.deepEqual(lengths, [1_000, 1_000, 1_000])
    assert.ok(types.includes('application/vnd.highwater.batches.v1'))
    assert.ok(!types.includes('application/vnd.kafka.binary.v2+json'))
  })

  it('waits for records that come later', async () => {
    const highwater = new Highwater({ url: server.url })
    await highwater.admin.createTopic('browser-live')
    const seen = page.evaluate(async () => {
      const { Highwater, text } = globalThis.client
      const reader = new Highwater({ url: globalThis.serverUrl }).reader({ topic: 'browser-live', partition: 0 })
      for await (const record of reader) return text(record.value)
      return 'nothing'
    })
    await page.waitForRequest((request) => request.url().includes('/topics/browser-live/partitions/0/records'))
    const producer = highwater.producer()
    await producer.send({ topic: 'browser-live', value: 'here I am' })
    await producer.close()
    assert.equal(await seen, 'here I am')
  })

  it('reads as a member of a group, and leaves the rest to others', async () => {
    const highwater = new Highwater({ url: server.url })
    await highwater.admin.createTopic('browser-group', { partitions: 2 })
    const producer = highwater.producer()
    for (let index = 0; index < 10; index++)
      await producer.send({ topic: 'browser-group', partition: index % 2, value: `${index}` })
    await producer.close()
    const read = await page.evaluate(async () => {
      const { Highwater, text } = globalThis.client
      const consumer = new Highwater({ url: globalThis.serverUrl }).consumer({
        group: 'tab',
        topics: ['browser-group'],
      })
      const values: (string | null)[] = []
      for await (const record of consumer) {
        values.push(text(record.value))
        if (values.length < 6) continue
        await consumer.commit()
        break
      }
      return values
    })
    // The page has left: who comes next goes on where it was.
    await using consumer = highwater.consumer({ group: 'tab', topics: ['browser-group'] })
    const rest: (string | null)[] = []
    while (read.length + rest.length < 10) for (const { value } of (await consumer.poll()) ?? []) rest.push(text(value))
    assert.deepEqual(
      [...read, ...rest].sort(),
      Array.from({ length: 10 }, (_, index) => `${index}`),
    )
  })

  it('sees the codes of errors across origins', async () => {
    const codes = await page.evaluate(async () => {
      const { Highwater, HighwaterError } = globalThis.client
      const highwater = new Highwater({ url: globalThis.serverUrl })
      await highwater.admin.createTopic('browser-errors')
      const codeOf = (work: Promise<unknown>) =>
        work.then(
          () => 'ok',
          (error: unknown) =>
            error instanceof HighwaterError ? `${error.code} ${error.endOffset ?? ''}`.trim() : String(error),
        )
      const reader = highwater.reader({ topic: 'browser-errors', partition: 0, from: { offset: 7 } })
      return [await codeOf(highwater.admin.createTopic('browser-errors')), await codeOf(reader.next())]
    })
    assert.deepEqual(codes, ['TOPIC_ALREADY_EXISTS', 'OFFSET_OUT_OF_RANGE 0'])
  })

  it('writes a record once although the answer to it was lost', async () => {
    let lost = 0
    await page.route(/\/topics\/browser-lost\/partitions\/0$/, async (route) => {
      if (route.request().method() !== 'POST' || lost >= 2) return route.continue()
      lost++
      await route.fetch()
      return route.abort('connectionreset')
    })
    const outcome = await page.evaluate(async () => {
      const { Highwater } = globalThis.client
      const highwater = new Highwater({ url: globalThis.serverUrl, retryDelayMs: 5 })
      await highwater.admin.createTopic('browser-lost')
      const producer = highwater.producer()
      const sent = await producer.send({ topic: 'browser-lost', value: 'once' })
      await producer.close()
      return { offset: sent.offset, ...(await highwater.admin.offsets('browser-lost', 0)) }
    })
    assert.equal(lost, 2)
    assert.deepEqual(outcome, { offset: 0, startOffset: 0, endOffset: 1 })
  })
})
