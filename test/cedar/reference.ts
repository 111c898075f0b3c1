import * as wasm from '@cedar-policy/cedar-wasm/nodejs'
import { type PolicyJson, type PolicySetJson, parseJson, type SchemaJson } from '../../src/cedar/json.ts'

/** Cedar's own build, which every test of the evaluator compares with. Its nodejs build runs in Node only. */

/** The policies of a text, under the ids that Cedar gives them: `policy0`, `policy1` and so on. */
export function parsePolicies(text: string): PolicySetJson {
  const parts = wasm.policySetTextToParts(text)
  if (parts.type === 'failure') throw new Error(explain(parts.errors))
  if (parts.policy_templates.length > 0) throw new Error('templates take ids too, and their place in the text is lost')
  // The parts come sorted by id, as text: policy0, policy1, policy10, policy2 …
  const ids = parts.policies.map((_policy, i) => `policy${i}`).sort()
  const staticPolicies: Record<string, PolicyJson> = {}
  for (const [i, policy] of parts.policies.entries()) staticPolicies[ids[i] ?? ''] = parsePolicy(policy)
  return { staticPolicies }
}

export function parsePolicy(text: string): PolicyJson {
  const answer = lossless(() => wasm.policyToJson(text))
  if (answer.type === 'failure') throw new Error(explain(answer.errors))
  return answer.json as PolicyJson
}

export function parseSchema(text: string): SchemaJson {
  const answer = wasm.schemaToJsonWithResolvedTypes(text)
  if (answer.type === 'failure') throw new Error(explain(answer.errors))
  return answer.json as SchemaJson
}

export function explain(errors: readonly wasm.DetailedError[]): string {
  return errors.map(error => error.message).join('; ')
}

/** The build hands JSON text to `JSON.parse`, and there, not before, integers beyond 2^53 lose digits. */
function lossless<T>(call: () => T): T {
  const original = JSON.parse
  const patched: typeof JSON.parse = text => {
    JSON.parse = original
    try {
      return parseJson(text)
    } finally {
      JSON.parse = patched
    }
  }
  JSON.parse = patched
  try {
    return call()
  } finally {
    JSON.parse = original
  }
}

/** The same JSON with `bigint`s as integers, which only `JSON.rawJSON` can write. */
export function forWasm(json: unknown): unknown {
  if (typeof json === 'bigint') return (JSON as RawJson).rawJSON(String(json))
  if (Array.isArray(json)) return json.map(forWasm)
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(Object.entries(json).map(([name, part]) => [name, forWasm(part)]))
}

type RawJson = typeof JSON & { rawJSON(text: string): unknown }
