import type { EntityUid } from '../cedar/json.ts'
import { uidText } from '../identity/uid.ts'
import { type Body, type DecisionRecord, isSealed, type Secrets } from './receipt.ts'

/** What a receipt is searched by. The values are copies; those that are personal come from the erasable secrets. */
export type Columns = {
  evaluation_id: string | null
  caller: string | null
  user: string | null
  action: string | null
  resource: string | null
  outcome: string | null
  reason: string | null
}

export const columnsOf = (body: Body & { decision?: DecisionRecord }, secrets: Secrets): Columns => {
  const member = (name: string): string | null => {
    const secret = secrets[name]
    if (!secret) return textOf(body[name])
    return isSealed(secret) ? (secret.blind ?? null) : textOf(secret.value)
  }
  return {
    evaluation_id: body.decision?.evaluation_id ?? null,
    caller: member('caller'),
    user: member('user'),
    action: member('action'),
    resource: member('resource'),
    outcome: body.decision?.outcome ?? null,
    reason: body.decision?.reason ?? null,
  }
}

/** A string as it is; an entity, or AuthZEN's subject or resource, as Cedar writes its UID. */
export const textOf = (value: unknown): string | null => {
  if (typeof value === 'string') return value
  return isUid(value) ? uidText(value) : null
}

const isUid = (value: unknown): value is EntityUid =>
  typeof value === 'object' &&
  value !== null &&
  'type' in value &&
  typeof value.type === 'string' &&
  'id' in value &&
  typeof value.id === 'string'
