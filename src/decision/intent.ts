import { convert } from '../cedar/convert.ts'
import { type EntityUid, isObject } from '../cedar/json.ts'
import type { RecordType, Type } from '../cedar/type.ts'
import { valueToJson } from '../cedar/value-json.ts'
import { contentHash } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { bare } from '../identity/uid.ts'

/** What an agent means to do, with the arguments as they will be used. */
export type Intent = {
  tenant: string
  principals: PrincipalChain
  action: string
  resource: EntityUid
  arguments: Record<string, unknown>
}

/** Names an action as it is written: approvals and permits mean this hash. */
export const actionHash = ({ tenant, principals, action, resource, arguments: args }: Intent): string => {
  const { actor, chain, user } = principals
  return contentHash({
    action,
    arguments: args,
    chain: [actor, ...chain].map(bare),
    resource: bare(resource),
    tenant,
    user: user ? bare(user) : null,
  })
}

/**
 * Names an intent, what would be the same thing done again, where that has several spellings: by the values of the types
 * that its arguments have in the schema. 1.0 is 1.00, and a set is the same in any order.
 */
export const intentHash = (intent: Intent, type: RecordType | undefined): string | undefined =>
  type && isWrittenFreely(type) ? actionHash({ ...intent, arguments: recordAsOne(type, intent.arguments) }) : undefined

/** A value as it is written for all its spellings. What isn't of the type stays as it is. */
const asOne = (type: Type, json: unknown): unknown => {
  switch (type.kind) {
    case 'record':
      return isObject(json) ? recordAsOne(type, json) : json
    case 'set': {
      if (!Array.isArray(json)) return json
      const items = new Map(json.map(item => asOne(type.element, item)).map(item => [jcs(item), item]))
      return [...items].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item)
    }
    case 'decimal':
    case 'datetime':
    case 'duration':
    case 'ipaddr': {
      const read = convert(type, json)
      return read.ok ? valueToJson(read.value) : json
    }
    default:
      return json
  }
}

const recordAsOne = ({ attributes }: RecordType, json: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const type = attributes.get(name)?.type
      return [name, type ? asOne(type, value) : value]
    }),
  )

/** Whether a value of the type can be written in several ways. */
const isWrittenFreely = (type: Type): boolean => {
  const known = free.get(type)
  if (known !== undefined) return known
  const found =
    type.kind === 'record'
      ? [...type.attributes.values()].some(attribute => isWrittenFreely(attribute.type))
      : !['bool', 'long', 'string', 'entity'].includes(type.kind)
  free.set(type, found)
  return found
}

const free = new WeakMap<Type, boolean>()
