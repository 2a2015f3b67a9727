/** What `Codecs` promises (lib/core/codec.ts), as a suite that every implementation runs. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Codecs, type CompressionType, compressionTypes, type Decompressed } from '../../lib/core/codec.ts'
import { xxhash32 } from '../../lib/core/xxhash32.ts'

const mebibyte = 2 ** 20

/** Bytes as records are: text with repetition, numbers, now and then noise. */
export function sampleBytes(size: number, seed = 1): Uint8Array {
  const words = ['offset', 'partition', ' ', 'high watermark', '{"epoch":', '},', '\n', 'segment']
  const bytes = new Uint8Array(size)
  let state = seed
  const draw = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % below
  }
  for (let at = 0; at < size; ) {
    const word = draw(10) === 0 ? String.fromCharCode(...Array.from({ length: 40 }, () => draw(256))) : undefined
    for (const unit of word ?? `${words[draw(words.length)]}${draw(1000)}`) {
      if (at < size) bytes[at++] = unit.charCodeAt(0)
    }
  }
  return bytes
}

export function codecsConformance(name: string, codecs: Codecs): void {
  describe(`codecs: ${name}`, () => {
    test('the CRC-32C of the check string is 0xe3069283, also when it comes in parts', () => {
      const bytes = new TextEncoder().encode('123456789')
      assert.equal(codecs.crc32c(bytes), 0xe3069283)
      for (let cut = 0; cut <= 9; cut++) {
        assert.equal(codecs.crc32c(bytes.subarray(cut), codecs.crc32c(bytes.subarray(0, cut))), 0xe3069283)
      }
      assert.equal(codecs.crc32c(new Uint8Array(32)), 0x8a9136aa)
      assert.equal(codecs.crc32c(new Uint8Array()), 0)
    })

    for (const type of compressionTypes) {
      const whole = (bytes: Uint8Array, bytesMax: number): Uint8Array => {
        const decompressed = codecs.decompress(type, bytes, bytesMax)
        assert.ok(decompressed.ok, `${type}: ${decompressed.ok ? '' : decompressed.message}`)
        return decompressed.bytes
      }

      test(`${type}: what was compressed is read back`, () => {
        // Around every boundary of the formats: match-free ends, snappy's 32 KiB blocks, LZ4's and zstd's larger ones.
        const sizes = [
          ...Array(40).keys(),
          255,
          270,
          271,
          4095,
          32_767,
          32_768,
          32_769,
          65_535,
          65_536,
          65_537,
          200_000,
        ]
        for (const size of sizes) {
          for (const bytes of [sampleBytes(size), new Uint8Array(size), noise(size)]) {
            assert.deepEqual(whole(codecs.compress(type, bytes), size), bytes, `${size} bytes`)
          }
        }
        fc.assert(
          fc.property(runs, (bytes) => {
            assert.deepEqual(whole(codecs.compress(type, bytes), bytes.length), bytes)
          }),
        )
      })

      test(`${type}: the bytes may lie anywhere in a larger buffer`, () => {
        const around = sampleBytes(5000)
        const bytes = around.subarray(1001, 4000)
        const compressed = codecs.compress(type, bytes)
        const apart = new Uint8Array(compressed.length + 20).fill(0xaa)
        apart.set(compressed, 7)
        assert.deepEqual(whole(apart.subarray(7, 7 + compressed.length), 3000), Uint8Array.from(bytes))
      })

      test(`${type}: one byte below the size is too large, the size itself and more are not`, () => {
        for (const size of [1, 300, 70_000]) {
          const compressed = codecs.compress(type, sampleBytes(size))
          const below = codecs.decompress(type, compressed, size - 1)
          assert.deepEqual([below.ok, below.ok || below.reason], [false, 'too-large'], `${size} bytes`)
          assert.equal(whole(compressed, size).length, size)
          assert.equal(whole(compressed, size + 1).length, size)
        }
      })

      if (type === 'none') continue

      test(`${type}: compression is a function of the bytes alone`, () => {
        const bytes = sampleBytes(100_000)
        const first = codecs.compress(type, bytes)
        codecs.compress(type, noise(50_000))
        assert.deepEqual(codecs.compress(type, bytes), first)
      })

      test(`${type}: text becomes less than half of itself`, () => {
        const text = new TextEncoder().encode('a record about the high watermark of a partition '.repeat(400))
        assert.ok(codecs.compress(type, text).length < text.length / 2)
      })

      test(`${type}: bytes that do not compress hardly grow`, () => {
        const bytes = noise(mebibyte)
        assert.ok(codecs.compress(type, bytes).length < bytes.length * 1.01 + 64)
      })

      test(`${type}: a stream that is cut short is corrupt`, () => {
        const bytes = sampleBytes(700)
        const compressed = codecs.compress(type, bytes)
        for (let size = 0; size < compressed.length; size++) {
          const decompressed = codecs.decompress(type, compressed.subarray(0, size), mebibyte)
          // Snappy's framing has no end: a stream cut between two blocks is a shorter stream.
          if (type === 'snappy' && decompressed.ok) assert.equal(decompressed.bytes.length, 0)
          else
            assert.deepEqual([decompressed.ok, decompressed.ok || decompressed.reason], [false, 'corrupt'], `${size}`)
        }
      })

      test(`${type}: bytes that follow the stream are corrupt`, () => {
        const compressed = codecs.compress(type, sampleBytes(700))
        for (const behind of [[1], [1, 2, 3], [0x28, 0xb5, 0x2f, 0xfd], [0xff, 0xff, 0xff, 0xff, 0xff]]) {
          const decompressed = codecs.decompress(type, Uint8Array.from([...compressed, ...behind]), mebibyte)
          assert.equal(decompressed.ok, false)
        }
      })

      test(`${type}: a stream with any bit turned is corrupt or other bytes, never a throw and never beyond the limit`, () => {
        const compressed = codecs.compress(type, sampleBytes(300))
        for (let bit = 0; bit < compressed.length * 8; bit++) {
          const turned = Uint8Array.from(compressed)
          turned[bit >>> 3]! ^= 1 << (bit & 7)
          assertBounded(codecs.decompress(type, turned, 1000), 1000)
        }
      })

      test(`${type}: any bytes at all are corrupt or some bytes, never a throw and never beyond the limit`, () => {
        const beginning = codecs.compress(type, sampleBytes(20))
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(beginning.length), (bytes, kept) => {
            assertBounded(codecs.decompress(type, bytes, 1000), 1000)
            const joined = Uint8Array.from([...beginning.subarray(0, kept), ...bytes])
            assertBounded(codecs.decompress(type, joined, 1000), 1000)
          }),
          { numRuns: 500 },
        )
        fc.assert(
          fc.property(mutations, (mutated) => {
            const bytes = codecs.compress(type, sampleBytes(2000))
            for (const [at, byte] of mutated) bytes[at % bytes.length] = byte
            assertBounded(codecs.decompress(type, bytes, 3000), 3000)
          }),
          { numRuns: 500 },
        )
      })

      test(`${type}: a bomb is refused without the memory that it asks for`, () => {
        const bomb = codecs.compress(type, new Uint8Array(64 * mebibyte))
        assertRefusedCheaply(() => codecs.decompress(type, bomb, mebibyte), 'too-large')
      })

      for (const [what, bytes] of lies[type]) {
        test(`${type}: ${what} is refused without the memory that it asks for`, () => {
          assertRefusedCheaply(() => codecs.decompress(type, bytes, mebibyte))
          assertRefusedCheaply(() => codecs.decompress(type, bytes, 2 ** 40))
        })
      }
    }
  })
}

function assertBounded(decompressed: Decompressed, bytesMax: number): void {
  if (decompressed.ok) assert.ok(decompressed.bytes.length <= bytesMax)
  else assert.ok(decompressed.message.length > 0)
}

/** Memory is what grows while it runs: nothing is collected of what one call allocates. */
function assertRefusedCheaply(decompress: () => Decompressed, reason?: 'corrupt' | 'too-large'): void {
  const before = process.memoryUsage()
  const decompressed = decompress()
  const after = process.memoryUsage()
  assert.equal(decompressed.ok, false)
  if (reason !== undefined) assert.equal(decompressed.ok || decompressed.reason, reason)
  const grown = after.arrayBuffers - before.arrayBuffers
  assert.ok(grown < 2 * mebibyte, `${grown} bytes were allocated`)
}

function noise(size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  let state = 0x9e3779b9
  for (let at = 0; at < size; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes
}

/** Runs of a byte or of a few, of all lengths: what makes matches overlap themselves and lengths need more bytes. */
const runs = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 600 })), { maxLength: 20 })
  .map((parts) =>
    Uint8Array.from(
      parts.flatMap(([bytes, times]) =>
        Array(times)
          .fill([...bytes])
          .flat(),
      ),
    ),
  )

const mutations = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 })

const hex = (text: string) =>
  Uint8Array.from(text.replaceAll(' ', '').match(/../g)!, (byte) => Number.parseInt(byte, 16))
const repeated = (part: string, times: number) => Array(times).fill(part).join('')

function lz4Frame(descriptor: string, blocks: string): Uint8Array {
  const described = hex(descriptor)
  return Uint8Array.from([...hex('04224d18'), ...described, (xxhash32(described) >>> 8) & 0xff, ...hex(blocks)])
}

/** Small inputs that claim, or really make, far more than they hold. */
const lies: Record<Exclude<CompressionType, 'none'>, [what: string, bytes: Uint8Array][]> = {
  gzip: [
    ['a trailer that claims 4 GiB', hex('1f8b0800000000000003 0300 00000000 ffffffff')],
    ['a trailer that claims 20 KiB for an empty stream', hex('1f8b0800000000000003 0300 00000000 00500000')],
  ],
  snappy: [
    ['a raw block that claims 4 GiB', hex('ffffffff0f 00 61')],
    ['a literal that claims 4 GiB', hex('05 fc ffffffff 61')],
    ['a literal that claims 2 GiB', hex('05 fc ffffff7f 61')],
    ['a frame with a block that claims 4 GiB', hex('82534e4150505900 00000001 00000001 00000007 ffffffff0f0061')],
    ['a frame with a block of negative size', hex('82534e4150505900 00000001 00000001 ffffffff 0100')],
    [
      'a frame of a thousand blocks that each claim all that they could hold',
      hex(`82534e4150505900 00000001 00000001 ${repeated('00000003 160000', 1000)}`),
    ],
  ],
  lz4: [
    ['a frame that claims 2^63 bytes', lz4Frame('6840 0000000000000080', '00000000')],
    ['a frame that claims 4 KiB and is empty', lz4Frame('6840 0010000000000000', '00000000')],
    ['a frame that claims less than it holds', lz4Frame('6840 0100000000000000', '03000000 206161 00000000')],
    ['a block that claims 2 GiB', lz4Frame('6040', 'ffffff7f 00')],
    ['a stored block that claims 2 GiB', lz4Frame('6040', 'ffffffff 00')],
    ['a literal of endless length', lz4Frame('6040', `e8030000 ${repeated('ff', 1000)} 00000000`)],
    ['a match of endless length', lz4Frame('6040', `e8030000 1f610100 ${repeated('ff', 996)} 00000000`)],
    ['a match from before the beginning', lz4Frame('6040', '05000000 1061020000 00000000')],
    ['a match from before an independent block', lz4Frame('6040', '01000080 61 05000000 1061020000 00000000')],
    ['a match of distance 0', lz4Frame('6040', '05000000 1061000000 00000000')],
    ['a block that ends in a match', lz4Frame('6040', '04000000 10610100 00000000')],
    ['a wrong checksum of the header', hex('04224d18 6040 83 00000000')],
    ['a wrong checksum of a block', lz4Frame('7040', '01000080 61 00000000 00000000')],
    ['a wrong checksum of the content', lz4Frame('6440', '01000080 61 00000000 00000000')],
    ['a dictionary', lz4Frame('6140 01000000', '00000000')],
    ['a reserved bit', lz4Frame('6240', '00000000')],
    ['a version of later days', lz4Frame('a040', '00000000')],
    ['a block size of no meaning', lz4Frame('6030', '00000000')],
  ],
  zstd: [
    ['a frame that claims 2^63 bytes', hex('28b52ffd c0 00 0000000000000080 010000')],
    ['a frame that claims 128 KiB and is empty', hex('28b52ffd a0 00000200 010000')],
    ['a frame of a window beyond every limit', hex('28b52ffd 00 ff 010000')],
    ['a repeated byte that claims more than a block', hex('28b52ffd 00 58 fbffff 61')],
  ],
}
