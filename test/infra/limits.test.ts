/** What keeps readers from producers, and what says afterwards who asked for how much. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { usageProperties } from '../../functions/metrics.ts'
import { listPrices } from '../../lib/core/prices.ts'
import { type Contexts, ofType, type Properties, synthesise } from './synthesis.ts'

const functionsOf = (contexts: Contexts) =>
  new Map(
    ofType(synthesise(contexts).resources, 'AWS::Lambda::Function').flatMap(([id, { Properties }]) => {
      const [, name] = /^Highwater: (\w+)$/.exec(String(Properties.Description)) ?? []
      return name === undefined
        ? []
        : [[`${name} ${/FetchStream/.test(id) ? 'stream' : ''}`.trim(), Properties] as const]
    }),
  )
const reserved = (contexts: Contexts) =>
  Object.fromEntries(
    [...functionsOf(contexts)].flatMap(([name, { ReservedConcurrentExecutions }]) =>
      ReservedConcurrentExecutions === undefined ? [] : [[name, ReservedConcurrentExecutions]],
    ),
  )

describe('executions at the same time', () => {
  it('are reserved for nobody, unless it is asked for', () => {
    assert.deepEqual(reserved({ functionUrl: true }), {})
  })

  it('are limited for functions that read records, and for no other', () => {
    assert.deepEqual(reserved({ functionUrl: true, fetchConcurrencyMax: 20 }), {
      consume: 20,
      fetch: 20,
      'fetch stream': 20,
    })
    assert.deepEqual(reserved({ fetchConcurrencyMax: '20' }), { consume: 20, fetch: 20 })
  })
})

describe('the saved query of costs', () => {
  const queries = (contexts: Contexts = {}) =>
    ofType(synthesise(contexts).resources, 'AWS::Logs::QueryDefinition').map(
      ([, { Properties }]): Properties => Properties,
    )

  it('adds up, by topic and operation, what the functions say they asked for, and prices it', () => {
    const [query, ...more] = queries()
    assert.deepEqual(more, [])
    const text = String(query?.QueryString)
    assert.equal(query?.Name, 'Highwater-Log/cost by topic')
    assert.match(text, /filter ispresent\(usage\)/)
    assert.match(text, /stats sum\(usd\) as dollars, .* by topic, usage/)
    for (const name of usageProperties) {
      const factor = new RegExp(`${name} \\* ([0-9.]+)`).exec(text)?.[1]
      assert.equal(Number(factor), Number(listPrices[name].toPrecision(12)))
      assert.match(text, new RegExp(`sum\\(${name}\\) as `))
    }
  })

  it('asks the logs of every function, of a Web Function too', () => {
    assert.equal(queries()[0]?.LogGroupNames.length, functionsOf({}).size)
    assert.ok(queries({ compute: 'web', auth: 'none' })[0]?.LogGroupNames.length >= 2)
  })

  it('can be left out', () => {
    assert.deepEqual(queries({ savedQueries: 'false' }), [])
  })
})
