/**
 * Regular expressions over topic names, for subscriptions. A pattern is the whole name's (Kafka's `Pattern.matches`), and it
 * comes from users: matching takes at most (length of the name) × (size of the pattern) steps, whatever the pattern. There is
 * no backtracking; all ways through the pattern are followed at once, name character by name character.
 *
 *     pattern     = branch *( "|" branch )
 *     branch      = *( atom [ quantifier ] / "^" / "$" )
 *     atom        = character / "." / class / "\d" "\D" "\w" "\W" "\s" "\S" / "\" sign / "(" pattern ")" / "(?:" pattern ")"
 *     class       = "[" [ "^" ] 1*( character [ "-" character ] / escape ) "]"
 *     quantifier  = ( "*" / "+" / "?" / "{" n [ "," [ m ] ] "}" ) [ "?" ]     the lazy "?" changes nothing: a name matches or not
 *
 * This is what Java and JavaScript mean by the same text. Everything else is refused with its position: what needs
 * backtracking (lookaround, backreferences), flags, and what the two languages read differently (`[a[b]]`, `a*+`).
 */

/** A parsed pattern. */
export interface TopicPattern {
  readonly text: string
  readonly start: number
  readonly states: readonly State[]
}

/** Characters of a pattern. */
export const topicPatternCharactersMax = 1_000
/** Size of a pattern: its characters, ranges and operators, with everything repeated counted as often as it may be. */
export const topicPatternSizeMax = 1_000

type State =
  | { readonly kind: 'set'; readonly set: Ranges; readonly next: number }
  | { readonly kind: 'either'; readonly ways: number[] }
  | { readonly kind: 'start' | 'end'; readonly next: number }
  | { readonly kind: 'matched' }

/** First and last code units, ascending and apart. */
type Ranges = readonly (readonly [first: number, last: number])[]

/** `size` is at least the states and the ranges that it takes: what one character of a name may cost. */
type Node = { readonly size: number } & (
  | { readonly kind: 'set'; readonly set: Ranges }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'either'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number }
)

/** The pattern, or the sentence that says what is wrong with it, and where. */
export function parseTopicPattern(text: string): { ok: true; pattern: TopicPattern } | { ok: false; message: string } {
  if (text.length === 0) return { ok: false, message: 'A topic pattern cannot be empty.' }
  if (text.length > topicPatternCharactersMax)
    return {
      ok: false,
      message: `The topic pattern has ${text.length} characters; at most ${topicPatternCharactersMax} are allowed.`,
    }
  const parsed = new Parser(text).parse()
  if (typeof parsed === 'string') return { ok: false, message: `Topic pattern ${JSON.stringify(text)}: ${parsed}` }
  const states: State[] = [{ kind: 'matched' }]
  const start = compile(parsed, 0, states)
  return { ok: true, pattern: { text, start, states } }
}

/** Whether the whole name matches. */
export function matchesTopic({ start, states }: TopicPattern, name: string): boolean {
  // The step in which a state was last reached: what makes every step linear.
  const reachedAt = new Int32Array(states.length).fill(-1)
  let present = reach([start], 0)
  for (let at = 0; at < name.length && present.length > 0; at++) {
    const code = name.charCodeAt(at)
    const next: number[] = []
    for (const index of present) {
      const state = states[index]!
      if (state.kind === 'set' && isIn(state.set, code)) next.push(state.next)
    }
    present = reach(next, at + 1)
  }
  return reachedAt[0] === name.length

  /** The states from here on that wait for a character. */
  function reach(from: number[], at: number): number[] {
    const waiting: number[] = []
    for (let index = from.pop(); index !== undefined; index = from.pop()) {
      if (reachedAt[index] === at) continue
      reachedAt[index] = at
      const state = states[index]!
      switch (state.kind) {
        case 'set':
          waiting.push(index)
          break
        case 'either':
          for (const way of state.ways) from.push(way)
          break
        case 'start':
          if (at === 0) from.push(state.next)
          break
        case 'end':
          if (at === name.length) from.push(state.next)
          break
        case 'matched':
          break
        default:
          state satisfies never
      }
    }
    return waiting
  }
}

function isIn(ranges: Ranges, code: number): boolean {
  for (const [first, last] of ranges) if (code >= first && code <= last) return true
  return false
}

/** Adds the states of the node, which go on at `next`, and answers where they begin. */
function compile(node: Node, next: number, states: State[]): number {
  switch (node.kind) {
    case 'set':
      return states.push({ kind: 'set', set: node.set, next }) - 1
    case 'start':
    case 'end':
      return states.push({ kind: node.kind, next }) - 1
    case 'sequence':
      return node.parts.reduceRight((after, part) => compile(part, after, states), next)
    case 'either':
      return states.push({ kind: 'either', ways: node.parts.map((part) => compile(part, next, states)) }) - 1
    case 'repeat': {
      let start = next
      if (node.max === Number.POSITIVE_INFINITY) {
        const ways = [next]
        start = states.push({ kind: 'either', ways }) - 1
        ways.push(compile(node.node, start, states))
      } else {
        for (let left = node.max - node.min; left > 0; left--)
          start = states.push({ kind: 'either', ways: [compile(node.node, start, states), next] }) - 1
      }
      for (let left = node.min; left > 0; left--) start = compile(node.node, start, states)
      return start
    }
    default:
      return node satisfies never
  }
}

const digits: Ranges = [[0x30, 0x39]]
const wordCharacters: Ranges = [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]] // biome-ignore format: a row
const spaces: Ranges = [[0x09, 0x0d], [0x20, 0x20]] // biome-ignore format: a row
const lineEnds: Ranges = [[0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]] // biome-ignore format: a row
const namedSets: ReadonlyMap<string, Ranges> = new Map([
  ['d', digits],
  ['D', complement(digits)],
  ['w', wordCharacters],
  ['W', complement(wordCharacters)],
  ['s', spaces],
  ['S', complement(spaces)],
])

/** The same code units, ascending and apart. */
function merge(ranges: Ranges): Ranges {
  const merged: (readonly [number, number])[] = []
  for (const range of ranges.toSorted(([a], [b]) => a - b)) {
    const before = merged.at(-1)
    if (before === undefined || range[0] > before[1] + 1) merged.push(range)
    else if (range[1] > before[1]) merged[merged.length - 1] = [before[0], range[1]]
  }
  return merged
}

/** All others, of ranges that are ascending and apart. */
function complement(ranges: Ranges): Ranges {
  const others: (readonly [number, number])[] = []
  let from = 0
  for (const [first, last] of ranges) {
    if (first > from) others.push([from, first - 1])
    from = last + 1
  }
  if (from <= 0xffff) others.push([from, 0xffff])
  return others
}

/** What stops the parser; never leaves this file. */
class Refused extends Error {}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** The node, or what is wrong. */
  parse(): Node | string {
    try {
      const node = this.#pattern()
      if (this.#at < this.#text.length) this.#refuse('there is no "(" for this ")"')
      return node
    } catch (error) {
      if (error instanceof Refused) return error.message
      throw error
    }
  }

  #refuse(what: string, at = this.#at): never {
    throw new Refused(`${what}, at character ${at + 1}.`)
  }

  #sized<N extends Node>(node: N, at: number): N {
    if (!(node.size <= topicPatternSizeMax))
      this.#refuse(
        `with its repetitions the pattern is larger than ${topicPatternSizeMax} characters, ranges and operators`,
        at,
      )
    return node
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #pattern(): Node {
    const at = this.#at
    const parts = [this.#branch()]
    while (this.#takes('|')) parts.push(this.#branch())
    return parts.length === 1
      ? parts[0]!
      : this.#sized({ kind: 'either', parts, size: parts.reduce((sum, { size }) => sum + size, 1) }, at)
  }

  #branch(): Node {
    const start = this.#at
    const parts: Node[] = []
    for (;;) {
      const character = this.#text[this.#at]
      if (character === undefined || character === '|' || character === ')') break
      const at = this.#at
      if (this.#takes('^')) parts.push({ kind: 'start', size: 1 })
      else if (this.#takes('$')) parts.push({ kind: 'end', size: 1 })
      else parts.push(this.#quantified(this.#atom(), at))
    }
    return this.#sized({ kind: 'sequence', parts, size: parts.reduce((sum, { size }) => sum + size, 1) }, start)
  }

  #atom(): Node {
    const at = this.#at
    const character = this.#text[this.#at++]!
    switch (character) {
      case '.':
        return set(complement(lineEnds))
      case '[':
        return this.#class(at)
      case '\\': {
        const escaped = this.#escape()
        return set(typeof escaped === 'number' ? [[escaped, escaped]] : escaped)
      }
      case '(': {
        if (this.#text[this.#at] === '?' && !this.#takes('?:'))
          this.#refuse('of groups only (…) and (?:…) are known: no lookaround, no names, no flags', at)
        const node = this.#pattern()
        if (!this.#takes(')')) this.#refuse('there is no ")" for this "("', at)
        return node
      }
      case '*':
      case '+':
      case '?':
      case '{':
        return this.#refuse(
          `there is nothing that "${character}" could repeat; as a character it is "\\${character}"`,
          at,
        )
      default:
        return set([[character.charCodeAt(0), character.charCodeAt(0)]])
    }
  }

  #quantified(node: Node, at: number): Node {
    const [min, max] = this.#quantifier() ?? []
    if (min === undefined || max === undefined) return node
    this.#takes('?')
    const optional = max === Number.POSITIVE_INFINITY ? 1 : max - min
    // Never nothing, so that repeating nothing has an end too.
    const size = Math.max(1, min * node.size + optional * (node.size + 1))
    return this.#sized({ kind: 'repeat', node, min, max, size }, at)
  }

  #quantifier(): readonly [min: number, max: number] | undefined {
    const at = this.#at
    if (this.#takes('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.#takes('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.#takes('?')) return [0, 1]
    if (this.#text[at] !== '{') return undefined
    const match = /^\{([0-9]{1,4})(,([0-9]{1,4})?)?\}/.exec(this.#text.slice(at, at + 12))
    if (match === null) this.#refuse('this is no {n}, {n,} or {n,m} with numbers of at most 4 digits', at)
    this.#at += match[0].length
    const min = Number(match[1])
    const max = match[2] === undefined ? min : match[3] === undefined ? Number.POSITIVE_INFINITY : Number(match[3])
    if (max < min) this.#refuse(`${match[0]} asks for at least ${min} and at most ${max}`, at)
    return [min, max]
  }

  /** What follows a backslash: a code unit, or a set. */
  #escape(): number | Ranges {
    const at = this.#at - 1
    const character = this.#text[this.#at++]
    if (character === undefined) this.#refuse('there is nothing behind this "\\"', at)
    const named = namedSets.get(character)
    if (named !== undefined) return named
    if (/[0-9a-zA-Z]/.test(character))
      this.#refuse(`"\\${character}" is not known; \\d \\D \\w \\W \\s \\S are, and signs like "\\."`, at)
    return character.charCodeAt(0)
  }

  #class(start: number): Node {
    const isNegated = this.#takes('^')
    const ranges: (readonly [number, number])[] = []
    for (;;) {
      const at = this.#at
      if (this.#takes(']')) break
      const first = this.#classPart(start)
      if (this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']') {
        this.#at++
        const last = this.#classPart(start)
        if (typeof first !== 'number' || typeof last !== 'number')
          this.#refuse('a range goes between two characters', at)
        if (last < first) this.#refuse('this range ends before it begins', at)
        ranges.push([first, last])
      } else if (typeof first === 'number') ranges.push([first, first])
      else ranges.push(...first)
    }
    if (ranges.length === 0) this.#refuse('a class has at least one character; "]" in one is "\\]"', start)
    return set(isNegated ? complement(merge(ranges)) : merge(ranges))
  }

  #classPart(start: number): number | Ranges {
    const at = this.#at
    const character = this.#text[this.#at++]
    if (character === undefined) this.#refuse('there is no "]" for this "["', start)
    if (character === '[') this.#refuse('a class in a class is not known; as a character it is "\\["', at)
    if (character === '&' && this.#text[this.#at] === '&')
      this.#refuse('"&&" in a class is not known; as a character it is "\\&"', at)
    return character === '\\' ? this.#escape() : character.charCodeAt(0)
  }
}

function set(ranges: Ranges): Node {
  return { kind: 'set', set: ranges, size: Math.max(1, ranges.length) }
}
