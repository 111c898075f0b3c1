import * as v from 'valibot'
import { contentHash, sha256 } from '../durable/hash.ts'
import { nameOf } from '../durable/names.ts'
import { uidText } from '../identity/uid.ts'
import { columnsOf } from './columns.ts'
import type { ReceiptLine } from './log/read-line.ts'
import { commitment, isSealed, type Secrets } from './receipt.ts'

/** What of a receipt's content doesn't fit its link. */
export const wrongBody = ({ body, bodyCommit, secrets, columns, chain }: ReceiptLine, tenant: string): string[] => {
  if (typeof body === 'string' || contentHash(body) !== bodyCommit) {
    const why = typeof body === 'string' && sha256(body) === bodyCommit ? 'is not canonical' : 'was changed'
    return [`the body ${why}`]
  }
  const known = v.safeParse(SecretsShape, secrets)
  if (!known.success) return ['the secrets are not readable']
  const problems = Object.entries(known.output).flatMap(([name, secret]) =>
    // what lies under a key can be checked by whoever has it
    isSealed(secret) || body[name] === commitment(secret)
      ? []
      : [`the value of ${name} is not the one that was committed to`],
  )
  if (!columns || problems.length > 0) return problems
  return [...problems, ...wrongColumns(body, known.output, columns, chain, tenant)]
}

type Columns = NonNullable<ReceiptLine['columns']>

/** What the record is searched by must be what its receipts say: else a search hides or shows the wrong ones. */
const wrongColumns = (
  body: Record<string, unknown>,
  secrets: Secrets,
  { agent, ...columns }: Columns,
  chain: string,
  tenant: string,
): string[] => {
  const expected: Record<string, string | null> = columnsOf(body, secrets)
  const problems = Object.entries(columns).flatMap(([name, value]) =>
    // an erasure empties the column with the value
    value === expected[name] || (value === null && name in body && isErasable(secrets[name]))
      ? []
      : [`the column ${name} is not what the receipt says`],
  )
  return isAgentOf(agent, body.agent, chain, tenant)
    ? problems
    : [...problems, 'the column agent is not what the receipt says']
}

const isErasable = (secret: Secrets[string] | undefined): boolean => secret === undefined || isSealed(secret)

const isAgentOf = (column: string | null, agent: unknown, chain: string, tenant: string): boolean => {
  if (typeof agent === 'string') return column === agent
  const uid = v.safeParse(Uid, agent)
  if (!uid.success || column === uidText(uid.output)) return true
  return column !== null && isShared(column, chain, tenant)
}

/**
 * Whether a chain of no one agent goes by that name: there, whoever is named only claims to be that, or is whoever was
 * searched for.
 */
const isShared = (column: string, chain: string, tenant: string): boolean => {
  const [, kind, shard] = SHARED.exec(column) ?? []
  return shard !== undefined && chain === nameOf(kind === 'searches' ? kind : 'unattributed', tenant, shard)
}

const SHARED = /^(unattributed|searches)\/(\d+)$/

const Uid = v.object({ type: v.string(), id: v.string() })
const SecretsShape = v.record(
  v.string(),
  v.union([
    v.object({ salt: v.string(), value: v.unknown() }),
    v.object({ sealed: v.string(), subject: v.string(), blind: v.exactOptional(v.string()) }),
  ]),
)
