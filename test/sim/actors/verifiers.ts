/** Who verifies finds no damage, whatever the partition has been through (V1). */
import type { Process } from '../process.ts'
import type { Simulation } from '../simulation.ts'

/** A whole partition, down to its records, piece by piece. */
export async function verify(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
): Promise<void> {
  let cursor: string | undefined
  do {
    const request = { topic, partition, isDeep: true, ...(cursor === undefined ? {} : { cursor }) }
    const what = `verify ${topic}/${partition} ${cursor ?? ''}`
    const heard = await sim.call(
      actor,
      process,
      what,
      (log) => log.verifyPartition(request),
      (answer) => {
        if (!answer.ok) return
        const damage = answer.findings.find(({ severity }) => severity === 'damage')
        if (damage !== undefined) sim.history.violate('V1', `${what}: ${JSON.stringify(damage)}`)
      },
    )
    cursor = heard.kind === 'answered' && heard.answer.ok ? heard.answer.cursor : undefined
  } while (cursor !== undefined && sim.history.violation === undefined)
}
