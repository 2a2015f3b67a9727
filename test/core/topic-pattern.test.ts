import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  matchesTopic,
  parseTopicPattern,
  type TopicPattern,
  topicPatternCharactersMax,
  topicPatternSizeMax,
} from '../../lib/core/topic-pattern.ts'

function pattern(text: string): TopicPattern {
  const parsed = parseTopicPattern(text)
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.message)
  return parsed.pattern
}

function matches(text: string, name: string): boolean {
  return matchesTopic(pattern(text), name)
}

describe('A topic pattern', () => {
  const cases: readonly (readonly [pattern: string, matching: readonly string[], others: readonly string[]])[] = [
    ['orders', ['orders'], ['order', 'orders2', 'my-orders', 'ORDERS']],
    ['orders\\..*', ['orders.', 'orders.eu'], ['orders', 'orders-eu']],
    ['orders.+', ['orders-eu'], ['orders']],
    ['eu|us', ['eu', 'us'], ['eus', 'e', 'euus']],
    ['(eu|us)-(orders|payments)', ['eu-orders', 'us-payments'], ['eu-', 'orders', 'eu-us']],
    ['(?:a|bc)*', ['', 'a', 'bc', 'abca'], ['ab', 'cb']],
    ['[a-c_x]+', ['abc', '_x'], ['abd']],
    ['[^.]*', ['a-b'], ['a.b']],
    ['[-a]+', ['-a'], ['b']],
    ['[a-]+', ['-a'], ['b']],
    ['[\\d.]{2,3}', ['1.', '123'], ['1', '1234', 'a1']],
    ['[^\\D5]', ['4'], ['5', 'x']],
    ['\\w\\W\\w', ['a-1', '_._'], ['abc']],
    ['\\S+', ['anything'], ['any thing']],
    ['a{3}', ['aaa'], ['aa', 'aaaa']],
    ['a{2,}', ['aa', 'aaaaaa'], ['a']],
    ['a{0}b', ['b'], ['ab']],
    ['a??b*?c+?', ['c', 'abbcc'], ['ab']],
    ['^orders$', ['orders'], ['xorders']],
    ['^(a|b)$|^c$', ['a', 'b', 'c'], ['ab']],
    ['(^a|b)c', ['ac', 'bc'], ['c']],
    ['a^b|a$b', [], ['ab', 'a', 'b']],
    ['()*a(|b)', ['a', 'ab'], ['b']],
    ['a}]', ['a}]'], ['a']],
  ]
  for (const [text, matching, others] of cases)
    it(`${text} matches ${matching.join(' ') || 'nothing'}, and not ${others.join(' ')}`, () => {
      for (const name of matching) assert.equal(matches(text, name), true, name)
      for (const name of others) assert.equal(matches(text, name), false, name)
    })

  const refused: readonly (readonly [pattern: string, message: RegExp])[] = [
    ['', /^A topic pattern cannot be empty\.$/],
    ['a(?=b)', /of groups only .* no lookaround.*, at character 2\.$/],
    ['(?!b)a', /at character 1\.$/],
    ['(?<=b)a', /at character 1\.$/],
    ['(?<name>b)', /at character 1\.$/],
    ['(?i)orders', /no flags, at character 1\.$/],
    ['(a)\\1', /"\\1" is not known.*, at character 4\.$/],
    ['a\\b', /"\\b" is not known.*, at character 2\.$/],
    ['\\p{L}', /"\\p" is not known.*, at character 1\.$/],
    ['a\\', /nothing behind this "\\", at character 2\.$/],
    ['*', /nothing that "\*" could repeat.*, at character 1\.$/],
    ['a**', /nothing that "\*" could repeat.*, at character 3\.$/],
    ['a*+', /nothing that "\+" could repeat.*, at character 3\.$/],
    ['a|+', /nothing that "\+" could repeat.*, at character 3\.$/],
    ['^*', /nothing that "\*" could repeat.*, at character 2\.$/],
    ['a{x}', /no \{n\}, \{n,\} or \{n,m\}.*, at character 2\.$/],
    ['a{12345}', /no \{n\}.*, at character 2\.$/],
    ['a{3,2}', /at least 3 and at most 2, at character 2\.$/],
    ['(a', /no "\)" for this "\(", at character 1\.$/],
    ['a)b', /no "\(" for this "\)", at character 2\.$/],
    ['[a', /no "\]" for this "\[", at character 1\.$/],
    ['[]a]', /at least one character.*, at character 1\.$/],
    ['[^]', /at least one character.*, at character 1\.$/],
    ['[z-a]', /ends before it begins, at character 2\.$/],
    ['[a-\\d]', /between two characters, at character 2\.$/],
    ['[a[b]]', /a class in a class.*, at character 3\.$/],
    ['[a&&b]', /"&&".*, at character 3\.$/],
  ]
  for (const [text, message] of refused)
    it(`${JSON.stringify(text)} is refused with what is wrong and where`, () => {
      const parsed = parseTopicPattern(text)
      assert.ok(!parsed.ok)
      assert.match(parsed.message, message)
    })

  it(`has at most ${topicPatternCharactersMax} characters`, () => {
    const alternatives = (length: number) => `${'|'.repeat(length / 4)}[${'a'.repeat(length - length / 4 - 2)}]`
    assert.equal(parseTopicPattern(alternatives(topicPatternCharactersMax - 4)).ok, true)
    assert.equal(parseTopicPattern(alternatives(topicPatternCharactersMax)).ok, true)
    const parsed = parseTopicPattern(alternatives(topicPatternCharactersMax + 4))
    assert.ok(!parsed.ok)
    assert.match(parsed.message, /has 1004 characters; at most 1000 are allowed/)
  })

  it(`is with its repetitions not larger than ${topicPatternSizeMax}`, () => {
    // One for the sequence, the rest for the repeated character.
    for (const count of [topicPatternSizeMax - 2, topicPatternSizeMax - 1])
      assert.equal(parseTopicPattern(`a{${count}}`).ok, true, `${count}`)
    for (const text of [
      `a{${topicPatternSizeMax}}`,
      'a{0,500}',
      '[acegikmoqs]{100}',
      '(a{40}){40}',
      '(((((a*)*){9,})+){99}){9}',
      '((((((){999}){999}){999}){999}){999}){999}',
      '(((a{0}){9999}){9999}){9999}',
    ]) {
      const parsed = parseTopicPattern(text)
      assert.ok(!parsed.ok, text)
      assert.match(parsed.message, /larger than 1000 characters, ranges and operators, at character/)
    }
  })

  it('may nest as deep as it is long', () => {
    const depth = topicPatternCharactersMax / 2 - 1
    assert.equal(matches(`${'('.repeat(depth)}a${')'.repeat(depth)}`, 'a'), true)
  })

  it('means what JavaScript means by the same text', () => {
    const character = fc.constantFrom('a', 'b', 'c', '-', '_', '.', '0', '9')
    const literal = character.map((c) => (c === '.' ? '\\.' : c))
    const named = fc.constantFrom('\\d', '\\D', '\\w', '\\W', '\\s', '\\S')
    const range = fc.constantFrom('a-b', 'a-z', '0-5', 'A-c', '\\--a')
    const inClass = fc.array(fc.oneof(fc.constantFrom('a', 'b', '_', '\\-', '0', '.'), range, named), {
      minLength: 1,
      maxLength: 3,
    })
    const charClass = fc.tuple(fc.constantFrom('', '^'), inClass).map(([not, parts]) => `[${not}${parts.join('')}]`)
    const quantifier = fc.constantFrom(
      '',
      '',
      '*',
      '+',
      '?',
      '{0}',
      '{2}',
      '{1,}',
      '{0,2}',
      '{1,3}',
      '*?',
      '+?',
      '{1,2}?',
    )
    const { tree } = fc.letrec<{ tree: string; atom: string; branch: string }>((tie) => ({
      atom: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        literal,
        fc.constant('.'),
        charClass,
        named,
        tie('tree').map((inner) => `(${inner})`),
        tie('tree').map((inner) => `(?:${inner})`),
      ),
      branch: fc
        .array(
          fc.oneof(
            { weight: 9, arbitrary: fc.tuple(tie('atom'), quantifier).map((parts) => parts.join('')) },
            { weight: 1, arbitrary: fc.constantFrom('^', '$') },
          ),
          { maxLength: 4 },
        )
        .map((parts) => parts.join('')),
      tree: fc.array(tie('branch'), { minLength: 1, maxLength: 3 }).map((branches) => branches.join('|')),
    }))
    const names = fc.array(
      fc.array(character, { maxLength: 6 }).map((parts) => parts.join('')),
      { minLength: 5, maxLength: 20 },
    )
    let matching = 0
    let compared = 0
    fc.assert(
      fc.property(tree, names, (text, candidates) => {
        const parsed = parseTopicPattern(text)
        if (!parsed.ok) {
          assert.match(parsed.message, /cannot be empty|larger than/)
          return
        }
        const expected = new RegExp(`^(?:${text})$`)
        for (const name of candidates) {
          assert.equal(matchesTopic(parsed.pattern, name), expected.test(name), `${text} on ${JSON.stringify(name)}`)
          compared++
          if (expected.test(name)) matching++
        }
      }),
      { numRuns: 400 },
    )
    assert.ok(matching > compared / 20, `${matching} of ${compared} names matched: the comparison says little`)
    assert.ok(matching < compared / 1.05, `${matching} of ${compared} names matched: the comparison says little`)
  })

  it('answers in time linear in the name, where backtracking would take for ever', () => {
    const name = `${'a'.repeat(248)}!`
    const started = performance.now()
    for (const text of [
      '(a*)*',
      '(a|a)*',
      '(a+)+b',
      '(a|aa)+',
      '(a?){200}a{200}',
      '(.*)(.*)(.*)(.*)(.*)(.*)[^!]',
      '((a*)*)*b',
    ])
      assert.equal(matches(text, name), false, text)
    // Some milliseconds; a backtracking matcher needs years.
    assert.ok(performance.now() - started < 2_000)
  })
})
