import type { PatternElem } from './json.ts'

/** Compiles the pattern of `like` into a test. A wildcard stands for any number of characters, none included. */
export function matcher(pattern: readonly PatternElem[]): (text: string) => boolean {
  const [first = '', ...rest] = segments(pattern)
  const last = rest.pop()
  if (last === undefined) return text => text === first
  const shortest = first.length + last.length
  // Taking the leftmost place for each segment is enough: it leaves the most text for those that follow.
  return text => {
    if (text.length < shortest || !text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let from = first.length
    for (const segment of rest) {
      const at = text.indexOf(segment, from)
      if (at < 0 || at + segment.length > end) return false
      from = at + segment.length
    }
    return true
  }
}

/** The texts between wildcards; always one more than there are wildcards. */
function segments(pattern: readonly PatternElem[]): string[] {
  const texts: string[] = []
  let text = ''
  for (const element of pattern) {
    if (element === 'Wildcard') {
      texts.push(text)
      text = ''
    } else {
      text += element.Literal
    }
  }
  return [...texts, text]
}
