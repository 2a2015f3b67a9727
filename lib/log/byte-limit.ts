/**
 * Lets work in, in the order in which it comes, while all that is in holds at most so many bytes. What is larger by itself goes in
 * alone: it waits for the others, and they for it.
 */
export class ByteLimit {
  readonly #bytesMax: number
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Of what is in. */
  get bytes(): number {
    return this.#bytes
  }

  /** How many wait to be let in. */
  get waiting(): number {
    return this.#waiting.length
  }

  async run<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((enter) => {
      this.#waiting.push({ bytes, enter })
      this.#admit()
    })
    try {
      return await work()
    } finally {
      this.#bytes -= bytes
      this.#admit()
    }
  }

  #admit(): void {
    while (true) {
      const [first] = this.#waiting
      if (first === undefined || (this.#bytes > 0 && this.#bytes + first.bytes > this.#bytesMax)) return
      this.#waiting.shift()
      this.#bytes += first.bytes
      first.enter()
    }
  }
}
