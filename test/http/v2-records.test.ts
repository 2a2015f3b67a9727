import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EmbeddedFormat } from '../../lib/http/v2-embedded.ts'
import { parseV2Records, v2RecordsMax } from '../../lib/http/v2-records.ts'

const parse = (body: unknown, format: EmbeddedFormat = 'json', partition?: number) =>
  parseV2Records(new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)), format, partition)

function refused(...given: Parameters<typeof parse>) {
  const parsed = parse(...given)
  assert(!parsed.ok, JSON.stringify(given))
  return parsed
}

function records(...given: Parameters<typeof parse>) {
  const parsed = parse(...given)
  assert(parsed.ok, JSON.stringify(parsed))
  return parsed.value.map(({ key, value, ...rest }) => ({
    ...rest,
    key: key === null ? null : Buffer.from(key).toString(),
    value: value === null ? null : Buffer.from(value).toString(),
  }))
}

test('JSON keys and values are written as JSON, null as null', () => {
  assert.deepEqual(
    records({ records: [{ key: 'k', value: { a: [1, null] } }, { value: 0 }, { key: null, value: false }, {}] }),
    [
      { key: '"k"', value: '{"a":[1,null]}' },
      { key: null, value: '0' },
      { key: null, value: 'false' },
      { key: null, value: null },
    ],
  )
})

test('binary keys and values are decoded from base64', () => {
  assert.deepEqual(records({ records: [{ key: 'a2V5', value: 'dmFsdWU=' }] }, 'binary'), [
    { key: 'key', value: 'value' },
  ])
})

test('text keys and values are taken as they are', () => {
  assert.deepEqual(records({ records: [{ key: 'k', value: 'é"' }] }, 'text'), [{ key: 'k', value: 'é"' }])
})

test('partition, timestamp and headers come along', () => {
  const parsed = parse({
    records: [
      {
        value: 1,
        partition: 2,
        timestamp: 5,
        headers: [{ key: 'a', value: 'YQ==' }, { key: 'b', value: null }, { key: 'c' }],
      },
    ],
  })
  assert(parsed.ok)
  assert.deepEqual(parsed.value, [
    {
      key: null,
      value: Uint8Array.of(0x31),
      partition: 2,
      timestampMs: 5,
      headers: [
        { key: 'a', value: Uint8Array.of(0x61) },
        { key: 'b', value: null },
        { key: 'c', value: null },
      ],
    },
  ])
})

test('fields that are null are as good as absent', () => {
  assert.deepEqual(
    records({ records: [{ value: 1, partition: null, timestamp: null, headers: null }], key_schema_id: null }),
    [{ key: null, value: '1' }],
  )
})

test('the partition of the path is that of every record, and no other may be named', () => {
  assert.deepEqual(records({ records: [{ value: 1 }, { value: 2, partition: 3 }] }, 'json', 3), [
    { key: null, value: '1', partition: 3 },
    { key: null, value: '2', partition: 3 },
  ])
  assert.match(refused({ records: [{ value: 1, partition: 0 }] }, 'json', 3).message, /records\[0\]\.partition is 0/)
})

test('what is wrong with a record names the record and the field', () => {
  for (const [record, message] of [
    [1, /^records\[1\] must be an object, not 1/],
    [null, /^records\[1\] must be an object/],
    [[], /^records\[1\] must be an object/],
    [{ val: 1 }, /^records\[1\] has an unrecognized field: val$/],
    [{ val: null }, /^records\[1\] has an unrecognized field: val$/],
    [{ partition: -1 }, /^records\[1\]\.partition must be/],
    [{ partition: 1.5 }, /^records\[1\]\.partition must be/],
    [{ partition: '0' }, /^records\[1\]\.partition must be .* not "0"/],
    [{ partition: 2 ** 31 }, /^records\[1\]\.partition must be/],
    [{ timestamp: '2026' }, /^records\[1\]\.timestamp must be/],
    [{ timestamp: -1 }, /^records\[1\]\.timestamp must be/],
    [{ headers: {} }, /^records\[1\]\.headers must be an array/],
    [{ headers: [{ value: '' }] }, /^records\[1\]\.headers must have a string as the key/],
    [{ headers: [{ key: 'a', value: '!' }] }, /^records\[1\]\.headers must have base64/],
    [{ headers: [{ key: 'a', name: 'a' }] }, /^records\[1\]\.headers must not have the field "name"/],
  ] as const) {
    const refusal = refused({ records: [{ value: 1 }, record] })
    assert.equal(refusal.code, 'INVALID_PAYLOAD')
    assert.match(refusal.message, message)
  }
})

test('a binary value that is no base64 is refused, and said so', () => {
  assert.match(
    refused({ records: [{ value: 'fooba' }] }, 'binary').message,
    /records\[0\]\.value: data="fooba" is not a valid base64/,
  )
  assert.match(refused({ records: [{ key: 1 }] }, 'binary').message, /records\[0\]\.key: data=1 is not a base64 string/)
  assert.match(refused({ records: [{ key: 1 }] }, 'text').message, /records\[0\]\.key: data=1 is not a string/)
})

test('a value that is no base64 is shown as it was sent, however long it is', () => {
  for (const length of [4, 40, 400]) {
    const value = `${'"'.repeat(1)}${'A'.repeat(length)}!AAA`
    assert(refused({ records: [{ value }] }, 'binary').message.includes(JSON.stringify(value).slice(0, 40)))
    assert(refused({ records: [{ value: value.slice(1) }] }, 'binary').message.includes(`"${'A'.repeat(4)}`))
  }
})

test('a body of another shape is refused', () => {
  for (const body of [
    [],
    1,
    null,
    '"x"',
    {},
    { records: {} },
    { records: [] },
    { records: null },
    { records: [{}], extra: 1 },
  ])
    assert.equal(refused(body).code, 'INVALID_PAYLOAD', JSON.stringify(body))
  assert.match(refused({ records: [{}], value_schema_id: 1 }).message, /schema registry/)
})

test('what is not JSON is refused as such, and nothing as nothing', () => {
  for (const body of ['{', '{"records":[{}]', '{"records":[{}]}x', 'records=1', "{'records':[]}"])
    assert.equal(refused(body).code, 'INVALID_REQUEST', body)
  assert.equal(refused('').code, 'EMPTY_PAYLOAD')
})

test('a JSON value is stored as it was sent, without the blanks between its parts', () => {
  for (const [sent, kept] of [
    ['{"b": 1.0, "a": [ 1E2 , 12345678901234567890 ]}', '{"b":1.0,"a":[1E2,12345678901234567890]}'],
    ['"a \\u00e9 b"', '"a \\u00e9 b"'],
    ['[\n  {\r\n\t"a" : " x \\" y "}\n]', '[{"a":" x \\" y "}]'],
    ['-0', '-0'],
  ] as const)
    assert.deepEqual(records(`{"records":[{"value":${sent}},{"value":${sent}}]}`), [
      { key: null, value: kept },
      { key: null, value: kept },
    ])
})

test('equal keys are equal bytes, however their characters were written', () => {
  const [a, b] = records('{"records":[{"key":"caf\\u00e9/"},{"key" : "café\\/"}]}')
  assert.deepEqual([a?.key, b?.key], ['"café/"', '"café/"'])
  const [object] = records('{"records":[{"key":{"\\u0061": 12345678901234567890}}]}')
  assert.equal(object?.key, '{"a":12345678901234567890}')
})

test('escaped characters are themselves in text and in base64', () => {
  assert.deepEqual(records('{"records":[{"key":"\\u00e9","value":"a\\nb"}]}', 'text'), [{ key: 'é', value: 'a\nb' }])
  assert.deepEqual(
    records('{"records":[{"value":"\\u0059Q=="},{"value":"+\\/8="}]}', 'binary').map((each) => each.value),
    ['a', Buffer.from('+/8=', 'base64').toString()],
  )
})

test('names may be written with escapes, in any order and with blanks', () => {
  assert.deepEqual(
    records('\ufeff { "key_schema" : null , "\\u0072ecords" : [ { "valu\\u0065" : 1 , "\\u006bey" : 2 } ] }\r\n'),
    [{ key: '2', value: '1' }],
  )
})

test('of a field that is there twice, the last one counts', () => {
  assert.deepEqual(records('{"records":[{"key":1,"value":1,"key":2,"value":null}]}'), [{ key: '2', value: null }])
  assert.match(refused('{"records":[{}],"records":[{}]}').message, /twice/)
})

test('a damaged body is told where, also when a part of it was decoded', () => {
  assert.equal(
    refused('{"records":[{"value":"YWJj"},{"value":"YWJj" "key":1}]}', 'binary').message,
    `The body is not JSON: unexpected '"' at byte 45.`,
  )
  assert.equal(refused('{"records":[{"value":"YWJj"', 'binary').message, 'The body is not JSON: it ends too early.')
})

test('a value that is nested too deeply is refused', () => {
  const depth = 200_000
  const refusal = refused(`{"records":[{"value":${'['.repeat(depth)}${']'.repeat(depth)}}]}`)
  assert.match(refusal.message, /nested too deeply/)
})

test(`a request has at most ${v2RecordsMax} records`, () => {
  const body = (count: number) => `{"records":[${new Array(count).fill('{}').join(',')}]}`
  assert.equal(records(body(v2RecordsMax - 1)).length, v2RecordsMax - 1)
  assert.equal(records(body(v2RecordsMax)).length, v2RecordsMax)
  assert.equal(refused(body(v2RecordsMax + 1)).code, 'REQUEST_TOO_LARGE')
})

test('whatever the body, the answer is records or a refusal', () => {
  const field = fc.constantFrom('records', 'key', 'value', 'partition', 'headers', 'timestamp', 'rawJSON', '__proto__')
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(field, tie('tree'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(tree, fc.constantFrom('json', 'binary', 'text'), fc.nat({ max: 1 }), (body, format, indent) => {
      const parsed = parse(JSON.stringify(body, null, indent), format as EmbeddedFormat)
      assert.equal(typeof parsed.ok, 'boolean')
    }),
  )
})
