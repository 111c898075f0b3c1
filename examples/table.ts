import type { Receipt } from './agent.ts'

/** Plain columns, as wide as what stands in them. */
export const table = (head: string[], body: string[][]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...body.map(row => row[column]?.length ?? 0)))
  const line = (cells: string[]) =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()
  return [line(head), line(widths.map(width => '─'.repeat(width))), ...body.map(line)].join('\n')
}

export const rows = (receipts: Receipt[]): string =>
  table(
    ['time', 'seq', 'kind', 'action', 'outcome', 'reason', 'policies', 'hash'],
    receipts.map(({ at, seq, kind, hash, body: { action = '', decision } }) => [
      new Date(at).toISOString().slice(11, 23),
      `${seq}`,
      kind,
      action,
      decision?.outcome ?? '',
      decision?.reason ?? '',
      decision?.policies.join(' ') ?? '',
      hash.slice(0, 10),
    ]),
  )
