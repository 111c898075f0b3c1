/** A bar on the terminal's other stream, where somebody looks at it; nothing in a pipe. */
export type Progress = { to: (done: number) => void; end: () => void }

export const progress = (what: string, total: number): Progress => {
  const { stderr } = process
  if (!stderr.isTTY) return { to: () => {}, end: () => {} }
  let shown = -1
  return {
    to: done => {
      const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
      if (percent === shown) return
      shown = percent
      const full = Math.round(percent / 4)
      stderr.write(`\r${what} ${'█'.repeat(full)}${'░'.repeat(25 - full)} ${percent}%`)
    },
    end: () => stderr.write(`\r${' '.repeat(what.length + 35)}\r`),
  }
}
