import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  unsignedVarintSize,
  VarintReader,
  varintSize,
  varlongSize,
  writeUnsignedVarint,
  writeVarint,
  writeVarlong,
} from '../../lib/core/varint.ts'

const bytesOf = (...bytes: number[]) => Uint8Array.from(bytes)

type Write = (bytes: Uint8Array, at: number, value: number) => number

function written(write: Write, size: (value: number) => number, value: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const end = write(bytes, 2, value)
  assert.equal(end - 2, size(value), `the size of ${value}`)
  return bytes.subarray(2, end)
}

// Kafka's ByteUtilsTest.
const varints: [number, number[]][] = [
  [0, [0x00]],
  [-1, [0x01]],
  [1, [0x02]],
  [63, [0x7e]],
  [-64, [0x7f]],
  [64, [0x80, 0x01]],
  [-65, [0x81, 0x01]],
  [8191, [0xfe, 0x7f]],
  [-8192, [0xff, 0x7f]],
  [8192, [0x80, 0x80, 0x01]],
  [-8193, [0x81, 0x80, 0x01]],
  [1048575, [0xfe, 0xff, 0x7f]],
  [1048576, [0x80, 0x80, 0x80, 0x01]],
  [134217727, [0xfe, 0xff, 0xff, 0x7f]],
  [-134217728, [0xff, 0xff, 0xff, 0x7f]],
  [134217728, [0x80, 0x80, 0x80, 0x80, 0x01]],
  [2147483647, [0xfe, 0xff, 0xff, 0xff, 0x0f]],
  [-2147483648, [0xff, 0xff, 0xff, 0xff, 0x0f]],
]

test('varints are written as Kafka writes them', () => {
  for (const [value, bytes] of varints) {
    assert.deepEqual(written(writeVarint, varintSize, value), Uint8Array.from(bytes))
    assert.deepEqual(written(writeVarlong, varlongSize, value), Uint8Array.from(bytes))
    assert.equal(new VarintReader(Uint8Array.from(bytes)).readVarint(), value)
    assert.equal(new VarintReader(Uint8Array.from(bytes)).readVarlong(), value)
  }
})

test('varlongs are written as Kafka writes them', () => {
  const cases: [number, number[]][] = [
    [-2147483649, [0x81, 0x80, 0x80, 0x80, 0x10]],
    [17179869183, [0xfe, 0xff, 0xff, 0xff, 0x7f]],
    [17179869184, [0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    [-17179869185, [0x81, 0x80, 0x80, 0x80, 0x80, 0x01]],
    [2199023255551, [0xfe, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    [-2199023255552, [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    [2199023255552, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    [281474976710655, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    [-281474976710656, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    [Number.MAX_SAFE_INTEGER, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]],
    [Number.MIN_SAFE_INTEGER, [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]],
  ]
  for (const [value, bytes] of cases) {
    assert.deepEqual(written(writeVarlong, varlongSize, value), Uint8Array.from(bytes))
    assert.equal(new VarintReader(Uint8Array.from(bytes)).readVarlong(), value)
  }
})

test('every number that can be written is read back, and nothing is left', () => {
  const kinds: [fc.Arbitrary<number>, Write, (value: number) => number, (reader: VarintReader) => number][] = [
    [fc.integer(), writeVarint, varintSize, (reader) => reader.readVarint()],
    [fc.maxSafeInteger(), writeVarlong, varlongSize, (reader) => reader.readVarlong()],
    [fc.integer({ min: 0, max: 0xffffffff }), writeUnsignedVarint, unsignedVarintSize, (r) => r.readUnsignedVarint()],
  ]
  for (const [numbers, write, size, read] of kinds) {
    fc.assert(
      fc.property(numbers, fc.integer({ min: 0, max: 4 }), (value, behind) => {
        const bytes = written(write, size, value)
        const reader = new VarintReader(Uint8Array.from([...bytes, ...new Array(behind).fill(0xff)]), 0, bytes.length)
        assert.equal(read(reader), value)
        assert.deepEqual([reader.failed, reader.at], [false, bytes.length])
        const short = new VarintReader(bytes, 0, bytes.length - 1)
        assert.deepEqual([read(short), short.failed], [0, true])
      }),
    )
  }
})

test('a longer encoding than needed is read', () => {
  const reader = new VarintReader(bytesOf(0x82, 0x00, 0x82, 0x80, 0x80, 0x80, 0x00, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00))
  assert.deepEqual([reader.readVarint(), reader.readVarint(), reader.readVarlong(), reader.failed], [1, 1, 1, false])
})

test('bits that do not fit are refused: more than 32 of a varint, more than a safe integer of a varlong', () => {
  const refused: [Uint8Array, (reader: VarintReader) => number][] = [
    [bytesOf(0xff, 0xff, 0xff, 0xff, 0x1f), (reader) => reader.readVarint()],
    [bytesOf(0xff, 0xff, 0xff, 0xff, 0xff, 0x01), (reader) => reader.readVarint()],
    [bytesOf(0xff, 0xff, 0xff, 0xff, 0x1f), (reader) => reader.readUnsignedVarint()],
    // 2^53 and -2^53
    [bytesOf(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20), (reader) => reader.readVarlong()],
    [bytesOf(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f), (reader) => reader.readVarlong()],
    // the largest 64-bit number, and eleven bytes
    [bytesOf(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), (reader) => reader.readVarlong()],
    [bytesOf(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00), (reader) => reader.readVarlong()],
  ]
  for (const [bytes, read] of refused) {
    const reader = new VarintReader(bytes)
    assert.deepEqual([read(reader), reader.failed], [0, true])
  }
})

test('a reader that failed once answers nothing any more', () => {
  const reader = new VarintReader(bytesOf(0x02, 0x02, 0x02))
  assert.equal(reader.skip(4), 0)
  assert.equal(reader.failed, true)
  assert.deepEqual([reader.readVarint(), reader.readVarlong(), reader.readUnsignedVarint()], [0, 0, 0])
  assert.equal(new VarintReader(bytesOf(1)).skip(-1), 0)
})
