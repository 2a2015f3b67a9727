/**
 * Runs `work` for every input, at most `atOnce` at the same time, begun in order. Answers in the order of the inputs. Rejects with the
 * first failure; what is under way then goes on unseen.
 */
export async function inParallel<Input, Output>(
  inputs: readonly Input[],
  atOnce: number,
  work: (input: Input, at: number) => Promise<Output>,
): Promise<Output[]> {
  const outputs: Output[] = new Array(inputs.length)
  let next = 0
  const turn = async () => {
    while (next < inputs.length) {
      const at = next++
      outputs[at] = await work(inputs[at]!, at)
    }
  }
  await Promise.all(Array.from({ length: Math.min(inputs.length, atOnce) }, turn))
  return outputs
}
