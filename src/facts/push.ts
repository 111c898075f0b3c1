import * as v from 'valibot'
import { contentHash } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { factId } from './id.ts'
import type { Entry } from './ledger.ts'
import type { Source } from './load.ts'
import { read, Statement } from './statement.ts'

/** Why a fact of a batch isn't taken; the others are. */
export type RefusedFact = {
  status: 'refused'
  reason: 'malformed' | 'out_of_scope' | 'undeclared' | 'mistyped' | 'unknown_fact'
  pointer: string
  detail: string
}

/** It would take the place of what the ledger hasn't got. */
export const UNKNOWN_FACT: RefusedFact = {
  status: 'refused',
  reason: 'unknown_fact',
  pointer: '/supersedes',
  detail: 'an id that an earlier call was given for a fact of this source, of the same entity and predicate',
}

/** Reads one item of a source's batch as the ledger will hold it. */
export const entryOf = (
  item: unknown,
  { tenant, source, bundle, now }: { tenant: string; source: Source; bundle: LoadedBundle; now: number },
): Entry | RefusedFact => {
  const parsed = v.safeParse(Statement, item)
  if (!parsed.success) {
    const [issue] = parsed.issues
    const pointer = (issue.path ?? []).map(({ key }) => `/${String(key)}`).join('')
    return { status: 'refused', reason: 'malformed', pointer, detail: issue.message }
  }
  const stated = read(parsed.output, source, bundle, now)
  if ('code' in stated) {
    return { status: 'refused', reason: stated.code, pointer: stated.pointer, detail: stated.expected }
  }
  const { supersedes } = parsed.output
  // what was said before may be said again, in place of what came between
  const { id = supersedes === undefined ? stated.hash : contentHash([stated.hash, supersedes]) } = parsed.output
  return {
    tenant,
    id: factId(source.id, id),
    hash: stated.hash,
    source: source.id,
    entity: uidText(stated.entity),
    predicate: stated.predicate,
    value: jcs(stated.json),
    observedAt: stated.observedAt,
    validUntil: stated.validUntil,
    ...(stated.evidence !== undefined && { evidence: stated.evidence }),
    ...(supersedes !== undefined && { supersedes }),
  }
}
