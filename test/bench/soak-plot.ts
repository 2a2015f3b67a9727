/** Lines over time as one SVG, a panel each, without a library: what a reader of the docs sees in the repository's own pages. */

export interface Panel {
  readonly title: string
  /** One for each of the times. */
  readonly values: readonly number[]
}

const [width, panelHeight, left, right, top, bottom] = [760, 150, 70, 20, 34, 26]

/** All panels share the times, in seconds. */
export function plot(title: string, seconds: readonly number[], panels: readonly Panel[]): string {
  const height = 40 + panels.length * panelHeight
  const end = Math.max(1, ...seconds)
  const parts = panels.map((panel, index) => drawn(panel, seconds, end, 40 + index * panelHeight))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="#222">
<title>What a log under upkeep holds, over time</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${left}" y="24" font-size="15">${title}</text>
${parts.join('\n')}
</svg>
`
}

function drawn({ title, values }: Panel, seconds: readonly number[], end: number, y: number): string {
  const most = roundUp(Math.max(1, ...values))
  const [from, to] = [y + panelHeight - bottom, y + top]
  const xOf = (at: number) => (left + (at / end) * (width - left - right)).toFixed(1)
  const yOf = (value: number) => (from - (value / most) * (from - to)).toFixed(1)
  const line = values.map((value, index) => `${xOf(seconds[index]!)},${yOf(value)}`).join(' ')
  const heights = [0, most / 2, most].map(
    (value) =>
      `<line x1="${left}" x2="${width - right}" y1="${yOf(value)}" y2="${yOf(value)}" stroke="#ddd"/><text x="${left - 8}" y="${Number(yOf(value)) + 4}" text-anchor="end">${value.toLocaleString('en-US')}</text>`,
  )
  const times = ticks(end).map(
    (at) => `<text x="${xOf(at)}" y="${from + 16}" text-anchor="middle" fill="#666">${clockText(at)}</text>`,
  )
  return `<text x="${left}" y="${y + 22}" font-weight="bold">${title}</text>
${[...heights, ...times].join('\n')}
<polyline points="${line}" fill="none" stroke="#1667b7" stroke-width="1.5"/>`
}

/** To 1, 2, 4, 6 or 8 of a power of ten, halves of which are round too. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return Math.max(2, ([1, 2, 4, 6, 8].find((step) => step * power >= value) ?? 10) * power)
}

function ticks(end: number): number[] {
  const step = [10, 30, 60, 120, 300, 600, 1_800, 3_600].find((each) => end / each <= 8) ?? 7_200
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step)
}

function clockText(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
