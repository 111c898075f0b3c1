import * as v from 'valibot'
import { pointerTo } from '../../cedar/pointer.ts'
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
  const members = (issue.path ?? []).map(({ key }) => String(key))
  const outside = pointerTo(members.slice(0, -1)) || 'this file'
  const place = placeOf(pointerTo(members))
  if (issue.type.endsWith('object') && issue.expected === 'never') {
    return error(`${members.at(-1)} is not a member of ${outside}`, { place })
  }
  if (issue.type.endsWith('object') && issue.received === 'undefined') {
    return error(`${outside} lacks the member ${issue.expected}`, { place })
  }
  const problem = issue.message.startsWith('Invalid ')
    ? `expected ${issue.expected}, found ${issue.received}`
    : issue.message
  return error(members.length === 0 ? problem : `${pointerTo(members)}: ${problem}`, { place })
}
