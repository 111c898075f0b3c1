import * as v from 'valibot'
import type { EntityJson, PolicySetJson, SchemaJson } from '../cedar/json.ts'
import { sha256 } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import { Facts } from '../facts/declarations.ts'
import { Tenant } from './tenant.ts'

/**
 * An immutable set of everything that a tenant's decisions depend on. It is named by the hash of its JCS form, so a
 * bundle that was read is the bundle that was pushed, or it is refused.
 */
export type Bundle = {
  v: 1
  settings: Tenant
  /** Cedar's JSON policy format; every policy has an `@id`, which is its key. */
  policies: PolicySetJson
  /** By policy id: the text as written, and the hash of its meaning (its JSON form), which approvals bind. */
  texts: Record<string, { text: string; hash: string }>
  /** Cedar's JSON schema format, types resolved. */
  schema: SchemaJson
  entities: EntityJson[]
  /** What policies may rely upon, and whose word it is. */
  facts?: Facts
}

const Shape = v.looseObject({
  v: v.literal(1),
  settings: Tenant,
  policies: v.looseObject({}),
  texts: v.record(v.string(), v.object({ text: v.string(), hash: v.string() })),
  schema: v.looseObject({}),
  entities: v.array(v.looseObject({})),
  facts: v.optional(Facts),
})

export const MAX_BUNDLE_BYTES = 4 * 1024 * 1024

/** The form in which a bundle is stored, and the hash that names it: both of its JCS form. */
export const writeBundle = (bundle: Bundle): { body: string; hash: string } => {
  const body = jcs(bundle)
  return { body, hash: sha256(body) }
}

/** Which bundle of a tenant is active. `seq` counts activations and never goes back. */
export const Pointer = v.object({
  v: v.literal(1),
  seq: v.pipe(v.number(), v.integer(), v.minValue(1)),
  hash: v.string(),
  pushed_at: v.pipe(v.string(), v.isoTimestamp()),
})
export type Pointer = v.InferOutput<typeof Pointer>

/**
 * Reads a body that was stored under `hash`. `undefined` where it isn't that bundle. The policies, schema and entities
 * were validated by Cedar before the push; the hash is what vouches for them here. It is compared before anything is
 * parsed, and of the text as it stands, since a body is stored in its JCS form: canonicalizing 4 MiB takes far longer.
 */
export const readBundle = (text: string, hash: string): Bundle | undefined => {
  if (sha256(text) !== hash) return undefined
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  return v.is(Shape, json) ? (json as unknown as Bundle) : undefined
}
