import * as v from 'valibot'
import { type Diagnostic, error } from './diagnostic.ts'
import { readJson } from './json-text.ts'
import { type Place, placeAt, type SourceText } from './source-text.ts'

/** A JSON file of a policy folder, checked against a schema. */
export type JsonFile<T> =
  | { ok: true; value: T; placeOf: (pointer: string) => Place }
  | { ok: false; diagnostics: Diagnostic[] }

export const parseJsonFile = <S extends v.GenericSchema>(file: SourceText, schema: S): JsonFile<v.InferOutput<S>> => {
  const json = readJson(file.text)
  if (!json.ok) return { ok: false, diagnostics: [error(json.message, { place: placeAt(file, json.range) })] }
  const placeOf = (pointer: string) => placeAt(file, json.placeOf(pointer))
  const parsed = v.safeParse(schema, json.value)
  if (parsed.success) return { ok: true, value: parsed.output, placeOf }
  return { ok: false, diagnostics: parsed.issues.map(issue => describe(issue, placeOf)) }
}

const describe = (issue: v.BaseIssue<unknown>, placeOf: (pointer: string) => Place): Diagnostic => {
  const steps = (issue.path ?? []).map(({ key }) => String(key).replaceAll('~', '~0').replaceAll('/', '~1'))
  const pointerOf = (parts: string[]) => parts.map(part => `/${part}`).join('')
  const place = placeOf(pointerOf(steps))
  if (issue.type.endsWith('object') && issue.expected === 'never') {
    return error(`${steps.at(-1)} is not a member of ${pointerOf(steps.slice(0, -1)) || 'this file'}`, { place })
  }
  if (issue.type.endsWith('object') && issue.received === 'undefined') {
    return error(`${pointerOf(steps.slice(0, -1)) || 'this file'} lacks the member ${issue.expected}`, { place })
  }
  const problem = issue.message.startsWith('Invalid ')
    ? `expected ${issue.expected}, found ${issue.received}`
    : issue.message
  return error(steps.length === 0 ? problem : `${pointerOf(steps)}: ${problem}`, { place })
}
