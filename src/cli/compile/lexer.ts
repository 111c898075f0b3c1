/** The tokens of Cedar's policy and schema texts: enough to say where things stand. Cedar itself does the parsing. */
export type Token = { kind: 'word' | 'number' | 'string' | 'other'; text: string; start: number; end: number }

export const tokensOf = (text: string): Token[] =>
  [...text.matchAll(TOKEN)].flatMap(({ index, groups }) => {
    const kind = (['word', 'number', 'string', 'other'] as const).find(name => groups?.[name] !== undefined)
    const token = kind && groups?.[kind]
    return kind && token !== undefined ? [{ kind, text: token, start: index, end: index + token.length }] : []
  })

// Comments match without a group and so are left out. A string that isn't closed ends with its line.
const TOKEN = /\/\/[^\n]*|(?<word>[A-Za-z_]\w*)|(?<number>\d+)|(?<string>"(?:[^"\\\n]|\\[^\n])*"?)|(?<other>[^\s])/gu

/** One policy or template in a file. */
export type Chunk = { text: string; start: number; tokens: Token[]; template: boolean }

/** Cuts a file at the semicolons that end policies. What stands before a policy's first token isn't its text. */
export const chunksOf = (text: string): Chunk[] => {
  const chunks: Chunk[] = []
  let tokens: Token[] = []
  const close = () => {
    const [first, last] = [tokens[0], tokens.at(-1)]
    if (first === undefined || last === undefined) return
    const template = tokens.some(token => token.text === '?')
    chunks.push({ text: text.slice(first.start, last.end), start: first.start, tokens, template })
    tokens = []
  }
  for (const token of tokensOf(text)) {
    tokens.push(token)
    if (token.text === ';') close()
  }
  close()
  return chunks
}

/** The `@name` of an annotation, with its `@`. */
export const annotationToken = (chunk: Chunk, name: string): { start: number; end: number } | undefined => {
  const at = chunk.tokens.findIndex((token, i) => token.text === '@' && chunk.tokens[i + 1]?.text === name)
  const [sign, word] = [chunk.tokens[at], chunk.tokens[at + 1]]
  return at >= 0 && sign && word ? { start: sign.start, end: word.end } : undefined
}

/** Where a schema declares actions of this name: one for each namespace that does. */
export const actionTokens = (tokens: readonly Token[], name: string): Token[] => {
  const found: Token[] = []
  tokens.forEach((token, i) => {
    if (token.text !== 'action') return
    for (let j = i + 1; j < tokens.length; j += 2) {
      const [declared, next] = [tokens[j], tokens[j + 1]]
      if (declared !== undefined && unquoted(declared) === name) found.push(declared)
      if (next?.text !== ',') break
    }
  })
  return found
}

const unquoted = ({ kind, text }: Token): string => {
  if (kind !== 'string') return text
  try {
    return String(JSON.parse(text))
  } catch {
    return text.slice(1, -1)
  }
}
