import type { PolicyJson } from '../../cedar/json.ts'
import { contentHash } from '../../durable/hash.ts'
import { type RuleMeta, readAnnotations } from '../../policy/annotations.ts'
import { parsePolicy } from './cedar.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import { annotationToken, type Chunk, chunksOf } from './lexer.ts'
import { type Place, placeAt, type Range, type SourceText } from './source-text.ts'

/** A policy or template, parsed, with the file that it stands in. */
export type WrittenPolicy = {
  id: string
  text: string
  json: PolicyJson
  /** Of its meaning: comments and layout don't change it. */
  hash: string
  rule: RuleMeta
  template: boolean
  /** Where a range of its text stands in the file; without one, where it begins. */
  placeOf: (range?: Range) => Place
}

/** All policies of the files, by id, in the order of the files. */
export const readPolicies = (files: readonly SourceText[]) => {
  const policies = new Map<string, WrittenPolicy>()
  const diagnostics: Diagnostic[] = []
  for (const file of files) {
    for (const chunk of chunksOf(file.text)) {
      const read = readPolicy(chunk, range => placeAt(file, range))
      diagnostics.push(...read.diagnostics)
      const { policy } = read
      if (policy === undefined) continue
      const first = policies.get(policy.id)?.placeOf()
      if (first === undefined) policies.set(policy.id, policy)
      else if (policy.id !== '') {
        const place = placeAt(file, annotationToken(chunk, 'id') ?? beginning(chunk))
        const hint = `the other stands at ${first.file}:${first.line}`
        diagnostics.push(error(`two policies have the id ${policy.id}`, { policy: policy.id, place, hint }))
      }
    }
  }
  return { policies, diagnostics }
}

const readPolicy = (
  chunk: Chunk,
  inFile: (range: Range) => Place,
): { policy?: WrittenPolicy; diagnostics: Diagnostic[] } => {
  const placeOf = (range?: Range) =>
    inFile(range ? { start: chunk.start + range.start, end: chunk.start + range.end } : beginning(chunk))
  const parsed = parsePolicy(chunk.text, chunk.template)
  if (!parsed.ok) {
    return {
      diagnostics: parsed.errors.map(({ message, hint, range }) => error(message, { hint, place: placeOf(range) })),
    }
  }
  const { json } = parsed
  const id = json.annotations?.id ?? ''
  const policy = id === '' ? undefined : id
  const hash = contentHash(json)
  const annotations = Object.entries(json.annotations ?? {}).map(([name, text]): [string, string] => [name, text ?? ''])
  const { rule, problems } = readAnnotations({ id, effect: json.effect, textHash: hash }, annotations)
  const diagnostics = [
    ...problems.map(({ annotation = '', message, hint }) =>
      error(message, { policy, hint, place: inFile(annotationToken(chunk, annotation) ?? beginning(chunk)) }),
    ),
    ...unsafeIntegers(chunk).map(token =>
      error(`the integer ${token.text} is beyond ±(2^53-1)`, {
        policy,
        place: inFile(token),
        hint: 'JSON loses the last digits of such numbers: use smaller units, or a decimal or string',
      }),
    ),
  ]
  return { policy: { id, text: chunk.text, json, hash, rule, template: chunk.template, placeOf }, diagnostics }
}

/** Cedar's JSON rounds them without a word, so they are looked for in the text. */
const unsafeIntegers = (chunk: Chunk) =>
  chunk.tokens.filter(({ kind, text }) => kind === 'number' && !Number.isSafeInteger(Number(text)))

const beginning = (chunk: Chunk): Range => chunk.tokens[0] ?? { start: chunk.start, end: chunk.start }
