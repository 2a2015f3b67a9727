import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { joined, jsonFormat, parseDelimiter, parseFormat } from '../../lib/cli/format.ts'
import { LineTooLong, splitStream } from '../../lib/cli/lines.ts'
import { parseTime } from '../../lib/cli/options.ts'
import type { ReadRecord } from '../../lib/client/highwater.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const record: ReadRecord = {
  offset: 42,
  timestampMs: 1_700_000_000_000,
  key: bytes('kéy'),
  value: bytes('värde'),
  headers: [
    { key: 'a', value: bytes('1') },
    { key: 'b', value: null },
  ],
}
const printed = (format: string, printedRecord = record, nullText = '') => {
  const parsed = parseFormat(format, 'orders', nullText)
  assert.ok(parsed.ok, JSON.stringify(parsed))
  const parts: Uint8Array[] = []
  parsed.format(printedRecord, 7, parts)
  return Buffer.from(joined(parts)).toString()
}

describe('a format string', () => {
  it("knows kcat's tokens", () => {
    assert.equal(printed('%t|%p|%o|%k|%K|%s|%S|%T|%h'), 'orders|7|42|kéy|4|värde|6|1700000000000|a=1,b=')
    assert.deepEqual(Buffer.from(printed('%R')), Buffer.from([0, 0, 0, 6]))
  })

  it('knows escapes, and leaves everything else as it is', () => {
    assert.equal(printed('100%% \\n\\t\\r\\\\\\x41\\0\\q😀%s'), '100% \n\t\r\\A\0\\q😀värde')
    assert.equal(printed(''), '')
  })

  it('prints nothing, or a word, for null', () => {
    const empty = { ...record, key: null, value: null }
    assert.equal(printed('%k%s%K%S', empty), '-1-1')
    assert.equal(printed('%k %s', empty, 'NULL'), 'NULL NULL')
  })

  it('is refused where it means nothing', () => {
    for (const format of ['%', '%x', '%S %Q']) assert.equal(parseFormat(format, 't').ok, false)
  })

  it('as JSON says which bytes are base64', () => {
    const parts: Uint8Array[] = []
    jsonFormat('orders')({ ...record, value: Uint8Array.of(0xff, 0), key: null }, 7, parts)
    assert.deepEqual(JSON.parse(Buffer.from(joined(parts)).toString()), {
      topic: 'orders',
      partition: 7,
      offset: 42,
      ts: 1_700_000_000_000,
      headers: ['a', '1', 'b', null],
      key: null,
      payload: '/wA=',
      payload_encoding: 'base64',
    })
  })
})

describe('input cut at a delimiter', () => {
  const split = async (chunks: readonly Uint8Array[], delimiter: string, bytesMax = 1e6) => {
    const pieces: string[] = []
    async function* source() {
      yield* chunks
    }
    for await (const some of splitStream(source(), parseDelimiter(delimiter), bytesMax))
      for (const piece of some) pieces.push(Buffer.from(piece).toString('latin1'))
    return pieces
  }

  it('has the same pieces however it arrives', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('a', 'b', ';', '-'), maxLength: 60 }),
        fc.constantFrom(';', ';-', '--', ';;-'),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 10 }),
        async (text, delimiter, cuts) => {
          const whole = Buffer.from(text)
          const chunks: Uint8Array[] = []
          for (let at = 0, turn = 0; at < whole.length; turn++) {
            const size = cuts[turn % cuts.length] ?? 1
            chunks.push(whole.subarray(at, at + size))
            at += size
          }
          const expected = text.split(delimiter)
          if (expected.at(-1) === '') expected.pop()
          assert.deepEqual(await split(chunks, delimiter), expected)
        },
      ),
    )
  })

  it('may be as long as it likes, but not without delimiters', async () => {
    const chunk = Buffer.from('0123456789')
    await assert.rejects(split(Array(11).fill(chunk), '\\n', 100), LineTooLong)
    assert.equal((await split(Array(10).fill(chunk), '\\n', 100)).length, 1)
    assert.equal((await split(Array(100).fill(Buffer.from('0123456\n')), '\\n', 10)).length, 100)
  })
})

describe('a time on the command line', () => {
  it('is milliseconds or ISO 8601', () => {
    assert.equal(parseTime('1700000000000'), 1_700_000_000_000)
    assert.equal(parseTime('2023-11-14T22:13:20Z'), 1_700_000_000_000)
    assert.equal(parseTime('2023-11-14T23:13:20+01:00'), 1_700_000_000_000)
    assert.equal(parseTime('2023-11-14'), Date.UTC(2023, 10, 14))
    for (const wrong of ['', 'yesterday', '2023-13-01', '-5']) assert.equal(parseTime(wrong), undefined)
  })
})
