import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { compressionTypes } from '../../lib/core/codec.ts'
import { codecsConformance, sampleBytes } from '../conformance/codecs.ts'

codecsConformance('portable and node:zlib', nodeCodecs)
codecsConformance('native', nativeCodecs)

test('the native codecs and the portable ones agree on every byte', () => {
  for (const size of [0, 1, 15, 16, 17, 1000, 100_003]) {
    const bytes = sampleBytes(size)
    assert.equal(nativeCodecs.crc32c(bytes, 0xdeadbeef), nodeCodecs.crc32c(bytes, 0xdeadbeef))
    for (const type of compressionTypes) {
      assert.deepEqual(nativeCodecs.compress(type, bytes), nodeCodecs.compress(type, bytes))
    }
  }
})

test('gzip and zstd compress at the level that is asked for, whatever level Kafka allows, and others as ever', () => {
  const bytes = new TextEncoder().encode(
    Array.from({ length: 2_000 }, (_, number) => `{"id":${(number * 7919) % 1_000},"at":${number * 37}}`).join('\n'),
  )
  for (const [type, levels] of [
    ['gzip', [1, 9]],
    ['zstd', [-131_072, 3, 19]],
    ['zstd', [22]],
  ] as const) {
    const sizes = levels.map((level) => {
      const compressed = nodeCodecs.compress(type, bytes, level)
      assert.deepEqual(nodeCodecs.decompress(type, compressed, bytes.length), { ok: true, bytes })
      return compressed.length
    })
    for (const [index, size] of sizes.entries()) if (index > 0) assert.ok(size < sizes[index - 1]!, `${type} ${sizes}`)
  }
  assert.deepEqual(nodeCodecs.compress('gzip', bytes, -1), nodeCodecs.compress('gzip', bytes))
  assert.deepEqual(nodeCodecs.compress('zstd', bytes, 3), nodeCodecs.compress('zstd', bytes))
  assert.deepEqual(nodeCodecs.compress('lz4', bytes, 9), nodeCodecs.compress('lz4', bytes))
})

test('results are plain Uint8Arrays, not Buffers', () => {
  for (const type of compressionTypes) {
    const compressed = nodeCodecs.compress(type, sampleBytes(100))
    assert.equal(compressed.constructor, Uint8Array)
    const decompressed = nodeCodecs.decompress(type, compressed, 100)
    assert.ok(decompressed.ok)
    assert.equal(decompressed.bytes.constructor, Uint8Array)
  }
})

test('zstd: a frame that repeats one byte for longer than the limit is too large, though it does not say its size', () => {
  // 64 blocks of 128 KiB, four bytes each.
  const block = [0x02, 0x00, 0x10, 0x61]
  const last = [0x03, 0x00, 0x10, 0x61]
  const frame = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, ...Array(63).fill(block).flat(), ...last])
  const whole = nodeCodecs.decompress('zstd', frame, 64 * 131_072)
  assert.equal(whole.ok && whole.bytes.length, 64 * 131_072)
  const below = nodeCodecs.decompress('zstd', frame, 64 * 131_072 - 1)
  assert.deepEqual([below.ok, below.ok || below.reason], [false, 'too-large'])
})

test('zstd and gzip: a second stream behind the first is corrupt, not silently left out', () => {
  for (const type of ['zstd', 'gzip'] as const) {
    const one = nodeCodecs.compress(type, sampleBytes(500))
    const decompressed = nodeCodecs.decompress(type, Uint8Array.from([...one, ...one]), 10_000)
    assert.deepEqual([decompressed.ok, decompressed.ok || decompressed.reason], [false, 'corrupt'])
  }
})

test('snappy: one raw block without framing is read, as librdkafka writes it', () => {
  // "abcabcabcabc": length 12, a literal of 3, a copy of 9 from distance 3.
  const raw = Uint8Array.from([12, 0x08, 0x61, 0x62, 0x63, 0x15, 0x03])
  const decompressed = nodeCodecs.decompress('snappy', raw, 100)
  assert.equal(decompressed.ok && new TextDecoder().decode(decompressed.bytes), 'abcabcabcabc')
})

test('snappy: all four kinds of element are read', () => {
  const literal = [60 << 2, 69, ...Array(70).fill(0x2e)]
  const far = [(5 << 2) | 3, 70, 0, 0, 0]
  const near = [(3 << 2) | 2, 2, 0]
  const raw = Uint8Array.from([80, ...literal, ...far, ...near])
  const decompressed = nodeCodecs.decompress('snappy', raw, 100)
  assert.equal(decompressed.ok && new TextDecoder().decode(decompressed.bytes), '.'.repeat(80))
})
