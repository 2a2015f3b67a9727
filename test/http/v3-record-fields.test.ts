import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteArena } from '../../lib/http/v2-embedded.ts'
import { parseTimestamp, readRecord } from '../../lib/http/v3-record-fields.ts'

const arena = () => new ByteArena(new Uint8Array(1_000))

function read(item: unknown) {
  const answer = readRecord(item, false, arena())
  assert(answer.ok, JSON.stringify(answer))
  return answer
}

function refused(item: unknown) {
  const answer = readRecord(item, false, arena())
  if (answer.ok) assert.fail(`accepted ${JSON.stringify(item)}`)
  return answer
}

const textOf = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString())

test('data is read by its type: base64, JSON, text', () => {
  const { record, keyType, valueType } = read({
    key: { type: 'BINARY', data: 'a2V5' },
    value: { type: 'JSON', data: { foo: 'bar' } },
  })
  assert.deepEqual([textOf(record.key), textOf(record.value)], ['key', '{"foo":"bar"}'])
  assert.deepEqual([keyType, valueType], ['BINARY', 'JSON'])
  assert.equal(textOf(read({ value: { type: 'STRING', data: 'x"y' } }).record.value), 'x"y')
})

test('without a type, data is base64', () => {
  assert.equal(textOf(read({ value: { data: 'aGk=' } }).record.value), 'hi')
  assert.equal(read({ value: { data: 'aGk=', type: null, schema: null } }).valueType, 'BINARY')
})

test('a part without data is null, a part that is not there has no type', () => {
  for (const data of [{ type: 'JSON' }, { type: 'JSON', data: null }]) {
    const { record, valueType, keyType } = read({ value: data })
    assert.equal(record.value, null)
    assert.equal(valueType, 'JSON')
    assert.equal(keyType, undefined)
  }
  assert.deepEqual(read({ key: null }), {
    ok: true,
    record: { key: null, value: null },
    keyType: undefined,
    valueType: undefined,
  })
  assert.deepEqual(read({}).record, { key: null, value: null })
})

test('headers, partition and timestamp come along', () => {
  assert.deepEqual(
    read({
      partition_id: 3,
      headers: [{ name: 'a', value: 'YQ==' }, { name: 'b' }, { name: 'b', value: null }],
      timestamp: '2021-02-05T19:14:42Z',
    }).record,
    {
      key: null,
      value: null,
      partition: 3,
      headers: [
        { key: 'a', value: Uint8Array.of(0x61) },
        { key: 'b', value: null },
        { key: 'b', value: null },
      ],
      timestampMs: 1_612_552_482_000,
    },
  )
})

test('what is wrong with a record is said in the words of the convention', () => {
  for (const [item, message] of [
    [{ value: { type: 'BINARY', data: 1 } }, 'Bad Request: data=1 is not a base64 string.'],
    [{ value: { data: 'fooba' } }, 'Bad Request: data="fooba" is not a valid base64 string.'],
    [{ value: { type: 'STRING', data: {} } }, 'Bad Request: data={} is not a string.'],
    [{ records: [] }, 'Bad Request: Unrecognized field "records".'],
    [{ id: '1' }, 'Bad Request: Unrecognized field "id".'],
    [{ value: 'x' }, 'Bad Request: value must be an object with data, not "x".'],
    [{ value: { dta: 1 } }, 'Bad Request: Unrecognized field "value.dta".'],
    [{ value: { type: 'XML', data: '' } }, 'Bad Request: type of the value must be BINARY, JSON or STRING, not "XML".'],
    [{ value: { type: {}, data: '' } }, 'Bad Request: type of the value must be BINARY, JSON or STRING, not {}.'],
    [{ partition_id: -1 }, 'Bad Request: partition_id must be a whole number from 0, not -1.'],
    [{ partition_id: '1' }, 'Bad Request: partition_id must be a whole number from 0, not "1".'],
    [{ headers: 'x' }, 'Bad Request: headers must be an array, not "x".'],
    [{ timestamp: 1 }, 'Bad Request: timestamp must be ISO-8601, as 2026-01-31T12:00:00Z, not 1.'],
    [[], 'Bad Request: a record must be an object, not [].'],
  ] as const) {
    const refusal = refused(item)
    assert.deepEqual([refusal.code, refusal.message], ['INVALID_REQUEST', message])
  }
  assert.match(refused({ headers: [{ name: 'a', value: '%' }] }).message, /base64 as the value of a header/)
})

test('what needs a schema is refused, and says why', () => {
  for (const data of [
    { type: 'AVRO', schema: '"string"', data: 'x' },
    { type: 'PROTOBUF', data: {} },
    { type: 'JSONSCHEMA', data: {} },
    { schema_id: 1, data: 'aGk=' },
    { schema_version: 1 },
    { type: 'BINARY', subject: 's', data: 'aGk=' },
    { subject_name_strategy: 'TOPIC_NAME', data: 'aGk=' },
  ]) {
    const refusal = refused({ value: data })
    assert.equal(refusal.code, 'INVALID_PAYLOAD')
    assert.match(refusal.message, /of the value needs a schema registry/)
  }
})

test('a value that is nested too deeply is refused', () => {
  const depth = 200_000
  const data: unknown = JSON.parse('['.repeat(depth) + ']'.repeat(depth))
  assert.match(refused({ value: { type: 'JSON', data } }).message, /nested too deeply/)
  assert.equal(refused({ value: { type: 'STRING', data } }).code, 'INVALID_REQUEST')
})

test('timestamps are ISO-8601 instants from 1970 on', () => {
  for (const [text, ms] of [
    ['1970-01-01T00:00:00Z', 0],
    ['2021-02-05T19:14:42Z', 1_612_552_482_000],
    ['2021-02-05T19:14:42.5Z', 1_612_552_482_500],
    ['2021-02-05T19:14:42.123456789Z', 1_612_552_482_123],
    ['2021-02-05T20:14:42+01:00', 1_612_552_482_000],
    ['2021-02-05T14:14:42-0500', 1_612_552_482_000],
    ['2024-02-29T00:00Z', 1_709_164_800_000],
  ] as const)
    assert.equal(parseTimestamp(text), ms, text)
  for (const text of [
    '',
    '2021-02-05',
    '2021-02-05T19:14:42',
    '2021-02-05 19:14:42Z',
    '2021-02-30T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2021-13-01T00:00:00Z',
    '2021-00-01T00:00:00Z',
    '2021-01-01T24:00:00Z',
    '2021-01-01T00:60:00Z',
    '1969-12-31T23:59:59Z',
    '1970-01-01T00:00:00+01:00',
    '0070-01-01T00:00:00Z',
    'Fri, 05 Feb 2021 19:14:42 GMT',
    1_612_552_482,
    null,
    {},
  ])
    assert.equal(parseTimestamp(text), undefined, String(text))
})
