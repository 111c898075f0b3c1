import { styleText } from 'node:util'
import type { Diagnostic } from './compile/diagnostic.ts'

/** Colours, only where a person looks at them (`NO_COLOR` and pipes turn them off). */
export const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
  styleText(style, text, { stream: process.stdout })

/** Diagnostics as compilers show them: what, where, the line, and what to do. */
export const renderDiagnostics = (diagnostics: readonly Diagnostic[]): string =>
  diagnostics.map(diagnostic => `${render(diagnostic)}\n`).join('\n')

const render = ({ severity, message, policy, place, hint }: Diagnostic): string => {
  const head = `${paint(['bold', severity === 'error' ? 'red' : 'yellow'], severity)}: ${message}`
  const lines = [policy === undefined ? head : `${head} ${paint('dim', `(policy ${policy})`)}`]
  const margin = ' '.repeat(String(place?.line ?? '').length)
  if (place !== undefined) {
    // Tabs stay tabs, so that the mark stands below what it marks.
    const indent = place.source.slice(0, place.column - 1).replace(/[^\t]/g, ' ')
    lines.push(
      `${margin}${paint('dim', '-->')} ${place.file}:${place.line}:${place.column}`,
      paint('dim', `${margin} |`),
      `${paint('dim', `${place.line} |`)} ${place.source}`,
      `${paint('dim', `${margin} |`)} ${indent}${paint('bold', '^'.repeat(place.width))}`,
    )
  }
  if (hint !== undefined) lines.push(`${margin} ${paint('dim', '=')} ${paint('cyan', 'hint')}: ${hint}`)
  return lines.join('\n')
}

export const plural = (count: number, thing: string): string =>
  `${count} ${count === 1 ? thing : `${thing.replace(/y$/, 'ie')}s`}`

/** A table: plain columns, each as wide as what stands in it. */
export const columns = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [paint('dim', line(head)), ...rows.map(line)].join('\n')
}
