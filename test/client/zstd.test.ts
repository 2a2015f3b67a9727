import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { describe, it, type TestContext } from 'node:test'
import { constants, createZstdCompress, createZstdDecompress, zstdCompressSync } from 'node:zlib'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { openBatch, platformCodecs } from '../../lib/client/compression.ts'
import { zstdStream } from '../../lib/client/zstd.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { measureZstdFrame, type ZstdFrame } from '../../lib/core/zstd-frame.ts'
import { golden } from '../core/record-batch-fixture.ts'

const zstd = platformCodecs().zstd!

/** As JSON is: it repeats itself, but not only. */
const samples = (size: number) =>
  new TextEncoder()
    .encode(Array.from({ length: size / 20 + 1 }, (_, n) => `{"id":${n},"user":${(n * 7919) % 997}}`).join('\n'))
    .subarray(0, size)

const level = (value: number) => ({ params: { [constants.ZSTD_c_compressionLevel]: value } })
/** As the highest levels ask for, without taking their time. */
const windowLog = (value: number) => ({
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: value },
})

/** A frame that does not say how much it holds, as Kafka's own client writes it. */
async function streamed(parts: readonly Uint8Array[], options = {}): Promise<Uint8Array> {
  const stream = createZstdCompress(options)
  const found: Uint8Array[] = []
  stream.on('data', (part: Uint8Array) => found.push(part))
  for (const part of parts) {
    stream.write(part)
    await new Promise<void>((resolve) => stream.flush(resolve))
  }
  const ended = new Promise((resolve) => stream.once('end', resolve))
  stream.end()
  await ended
  return Uint8Array.from(Buffer.concat(found))
}

function frameOf(bytes: Uint8Array): ZstdFrame {
  const frame = measureZstdFrame(bytes)
  assert.ok(typeof frame !== 'string', String(frame))
  return frame
}

/** A platform whose stream knows zstd: Node's own decoder behind the web's interface. */
function withPlatformStream(context: TestContext): { opened: number } {
  const seen = { opened: 0 }
  const { DecompressionStream } = globalThis
  globalThis.DecompressionStream = class {
    readonly readable: ReadableStream
    readonly writable: WritableStream
    constructor(format: string) {
      assert.equal(format, 'zstd')
      seen.opened++
      // What it may allocate is bounded, as in browsers.
      const decoder = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } })
      const { readable, writable } = Duplex.toWeb(decoder)
      this.readable = readable as ReadableStream
      this.writable = writable
    }
  } as unknown as typeof DecompressionStream
  context.after(() => {
    globalThis.DecompressionStream = DecompressionStream
  })
  return seen
}

describe('zstd in the client', () => {
  for (const platform of ['without a stream of the platform', 'by the platform’s stream'])
    it(`reads what any writer writes, of any size (${platform})`, async (context) => {
      const seen = platform.startsWith('by') ? withPlatformStream(context) : { opened: 0 }
      for (const size of [1, 100, 131_072, 700_000]) {
        const bytes = samples(size)
        const frames = [
          zstdCompressSync(bytes),
          zstdCompressSync(bytes, level(1)),
          zstdCompressSync(bytes, level(9)),
          zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
          await streamed([bytes]),
          await streamed([bytes.subarray(0, size / 2), bytes.subarray(size / 2)], windowLog(27)),
        ].map((frame) => Uint8Array.from(frame))
        for (const frame of frames) assert.deepEqual(await zstd.decompress(frame, size), bytes)
        const last = frameOf(frames[5]!)
        assert.deepEqual([last.contentSize, last.windowBytes], [null, 128 * 2 ** 20])
      }
      assert.equal(seen.opened > 0, platform.startsWith('by'))
    })

  it('is the platform’s only where it has one', () => assert.equal(zstdStream(), undefined))

  it('leaves a content that is larger than platforms’ windows to its own decoder', async (context) => {
    const seen = withPlatformStream(context)
    const bytes = samples(9 * 2 ** 20)
    const frame = await streamed([bytes], windowLog(24))
    assert.equal(frameOf(frame).windowBytes, 16 * 2 ** 20)
    assert.deepEqual(await zstd.decompress(frame, bytes.length), bytes)
    assert.equal(seen.opened, 0)
  })

  for (const platform of ['without a stream of the platform', 'by the platform’s stream'])
    it(`stops at the limit, whether a frame says its size or not (${platform})`, async (context) => {
      if (platform.startsWith('by')) withPlatformStream(context)
      const bytes = new Uint8Array(3_000_000)
      const known = Uint8Array.from(zstdCompressSync(bytes))
      const unknown = await streamed([bytes])
      assert.equal(frameOf(known).contentSize, bytes.length)
      assert.ok(unknown.length < 2_000)
      for (const frame of [known, unknown]) {
        assert.equal((await zstd.decompress(frame, bytes.length)).length, bytes.length)
        await assert.rejects(async () => zstd.decompress(frame, bytes.length - 1), /3000000 bytes|more than 2999999/)
      }
    })

  it('takes no more memory for a frame than it can fill, whatever window it asks for', async () => {
    const frame = await streamed([samples(1_000)], windowLog(27))
    const before = process.memoryUsage().arrayBuffers
    await zstd.decompress(frame, 1_000_000)
    assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 2 ** 20)
  })

  it('throws for damage, however the frame is cut or changed', async () => {
    const whole = Uint8Array.from(zstdCompressSync(samples(2_000)))
    for (let length = 0; length < whole.length; length++)
      await assert.rejects(async () => zstd.decompress(whole.subarray(0, length), 10_000), `${length} bytes`)
    await assert.rejects(async () => zstd.decompress(Uint8Array.from([...whole, 0]), 10_000), /follow the frame/)
    // Changed bytes may still be a frame; what is read of it stays within the limit.
    for (let at = 0; at < whole.length; at++) {
      const changed = Uint8Array.from(whole)
      changed[at]! ^= 0xff
      const read = await Promise.resolve()
        .then(() => zstd.decompress(changed, 10_000))
        .catch(() => undefined)
      assert.ok(read === undefined || read.length <= 10_000)
    }
  })

  it('reads batches of other clients, and says what is wrong with a damaged one', async () => {
    const codecs = platformCodecs()
    for (const client of ['java', 'librdkafka', 'kafka-python']) {
      const opened = await openBatch(golden(`${client}-zstd`), 0, codecs, 100_000)
      assert.ok(opened.ok && opened.records.length === 4)
    }
    const batch = encodeBatch(
      { records: [{ timestampMs: 1, key: null, value: samples(5_000) }], compression: 'zstd' },
      nativeCodecs,
    )
    const refused = await openBatch(batch, 0, codecs, 4_000)
    assert.deepEqual([refused.ok, refused.ok || refused.reason], [false, 'corrupt'])
    assert.match(refused.ok ? '' : refused.message, /4000 are allowed/)
  })
})
