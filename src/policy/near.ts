/** The name that a misspelt one may have meant: the nearest within two edits (one for short names), if there is one. */
export const nearest = (word: string, names: Iterable<string>): string | undefined => {
  const bound = word.length < 5 ? 1 : 2
  let best: { name: string; edits: number } | undefined
  for (const name of names) {
    const edits = distance(word.toLowerCase(), name.toLowerCase())
    if (edits <= bound && edits < (best?.edits ?? Number.POSITIVE_INFINITY)) best = { name, edits }
  }
  return best?.name
}

/** Edits between two words, where two neighbours that changed places are one edit. */
const distance = (a: string, b: string): number => {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 1; i <= a.length; i++) {
    rows.push([i])
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const edits = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1))
      rows[i]?.push(swapped ? Math.min(edits, at(i - 2, j - 2) + 1) : edits)
    }
  }
  return at(a.length, b.length)
}
