import type { CollectCall, CollectReply } from '../agent/calls/receipts.ts'
import { columnsOf } from './columns.ts'
import type { StoredReceipt } from './receipt.ts'

/**
 * Writes the receipts of many chains to D1, each exactly once, and says for each call what D1 now holds. The statements
 * are one transaction and take JSON for parameters: D1 binds at most 100, of at most 2 MB.
 */
export const writeReceipts = async (db: D1Database, calls: readonly CollectCall[]): Promise<CollectReply[]> => {
  const rows = calls.flatMap(call => call.receipts.map(receipt => rowOf(call, receipt))).join(',')
  const links = calls.flatMap(({ chain, receipts }) => receipts.map(({ seq, hash }) => [chain, seq, hash]))
  const sent = JSON.stringify(links)
  const [, , contradicted] = await db.batch<{ chain: string; seq: number }>([
    db.prepare(INSERT).bind(`[${rows}]`, sent),
    db.prepare(POLICIES).bind(sent),
    db.prepare(CONTRADICTED).bind(sent),
  ])
  const forks = new Map(contradicted?.results.map(({ chain, seq }) => [chain, seq]))
  return calls.map(({ chain, receipts }) => {
    const fork = forks.get(chain)
    return fork === undefined ? { kind: 'stored', seq: receipts.at(-1)?.seq ?? 0 } : { kind: 'fork', seq: fork }
  })
}

/** What stands first in a row is JSON already, and goes as it is: as a text each of its quotes would be escaped twice. */
const JSON_COLUMNS = ['body', 'secrets'] as const
const TEXT_COLUMNS = [
  'chain',
  'seq',
  'tenant',
  'hash',
  'prev',
  'kind',
  'at',
  'body_commit',
  'agent',
  'evaluation_id',
  'caller',
  'user',
  'action',
  'resource',
  'outcome',
  'reason',
] as const
const COLUMNS = [...JSON_COLUMNS, ...TEXT_COLUMNS]
const CHAIN = COLUMNS.indexOf('chain')

/** A row as a JSON array. */
const rowOf = ({ tenant, chain, agent }: CollectCall, receipt: StoredReceipt): string => {
  const { seq, hash, prev, kind, at, bodyCommit: body_commit, body, secrets } = receipt
  const link = { chain, seq, tenant, hash, prev, kind, at, body_commit, agent }
  const row: Record<(typeof TEXT_COLUMNS)[number], string | number | null> = {
    ...link,
    ...columnsOf(JSON.parse(body), JSON.parse(secrets)),
  }
  const values = JSON.stringify(TEXT_COLUMNS.map(column => row[column]))
  return `[${body},${secrets},${values.slice(1)}`
}

const SENT = 'WITH sent AS (SELECT value->>0 AS chain, value->>1 AS seq, value->>2 AS hash FROM json_each(?SENT))'

/** A chain that D1 contradicts anywhere gets nothing more: what follows a wrong link is wrong. */
const INSERT = `
  ${SENT.replace('?SENT', '?2')},
  forked AS (
    SELECT DISTINCT chain FROM sent JOIN receipts USING (chain, seq) WHERE receipts.hash <> sent.hash
  )
  INSERT INTO receipts (${COLUMNS.join(', ')})
  SELECT ${COLUMNS.map((_, index) => `value->${index < JSON_COLUMNS.length ? '' : '>'}${index}`).join(', ')} FROM json_each(?1)
  WHERE value->>${CHAIN} NOT IN (SELECT chain FROM forked)
  ON CONFLICT DO NOTHING`

/** Which policies decided, as the bodies say. */
const POLICIES = `
  ${SENT.replace('?SENT', '?1')}
  INSERT INTO receipt_policies (tenant, policy, at, receipt)
  SELECT receipts.tenant, policies.value, receipts.at, receipts.id
  FROM sent CROSS JOIN receipts USING (chain, seq), json_each(receipts.body, '$.decision.policies') AS policies
  WHERE receipts.hash = sent.hash
  ON CONFLICT DO NOTHING`

/** Links that D1 has otherwise, or hasn't after all, since it has another receipt for that evaluation. */
const CONTRADICTED = `
  ${SENT.replace('?SENT', '?1')}
  SELECT sent.chain AS chain, min(sent.seq) AS seq FROM sent LEFT JOIN receipts USING (chain, seq)
  WHERE receipts.hash IS NOT sent.hash GROUP BY sent.chain`
