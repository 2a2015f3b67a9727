/** `npm run example:flights`: the commands of docs/example-flights.md, and what came of them. */
import { runFlights } from './flights.ts'
import { inScope } from './server-process.ts'

const startedMs = performance.now()
const failures: string[] = []
await inScope(async (scope) => {
  console.log('Twenty thousand flights, as docs/example-flights.md has them\n')
  const { rows, airports, partitions } = await runFlights(scope, ({ title, commands, expected, printed, seconds }) => {
    const isAsSaid = printed === expected
    if (!isAsSaid) failures.push(title)
    console.log(`${isAsSaid ? '✔' : '✖'} ${title} (${seconds.toFixed(1)} s)`)
    for (const line of commands.trimEnd().split('\n')) console.log(`    $ ${line}`)
    for (const line of printed.trimEnd().split('\n')) console.log(`    ${line}`)
    if (!isAsSaid) console.log(`    The page says:\n    ${expected.trimEnd().replaceAll('\n', '\n    ')}`)
    console.log()
  })
  const shown = (count: number) => count.toLocaleString('en')
  console.log('✔ Every record was read once more and compared with the data')
  console.log(`    sent      ${shown(rows)} flights from ${airports} airports`)
  console.log(
    `    stored    ${shown(partitions.reduce((sum, count) => sum + count))}: ${partitions.map(shown).join(' + ')}`,
  )
  console.log('    None is lost, none is there twice, each airport has its flights in order, offsets have no holes.\n')
  console.log(`Done in ${((performance.now() - startedMs) / 1_000).toFixed(0)} s.`)
})
if (failures.length > 0) {
  console.error(`What is printed is not what the page says: ${failures.join(', ')}.`)
  process.exitCode = 1
}
