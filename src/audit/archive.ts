import * as v from 'valibot'
import { jcs } from '../durable/jcs.ts'
import type { LogReader } from './log/bucket.ts'
import { exportBundle, type Finder, type FoundReceipt, inD1 } from './log/export.ts'
import type { ExportBundle, ExportedReceipt, ExportHeader } from './log/lines.ts'
import { logPrefix } from './log/names.ts'
import { WIDTH } from './log/tiles.ts'
import type { Recorded } from './store.ts'
import { createVerifier, type Finding } from './verify.ts'

/**
 * Receipts that leave D1 for the bucket, a bundle of the log at a time and in its order. Each file is an export of that
 * bundle, packed: it proves itself, and what was deleted from D1 stays provable.
 */
export type Retention = { days: number; receipts: number }

export type ArchiveReply =
  /** So many bundles were archived by this call; `more`: whether others are due. */
  | { kind: 'archived'; bundles: number; more: boolean }
  /** A bundle doesn't verify, so it stays where it is: it is evidence. */
  | { kind: 'unsound'; bundle: number; findings: Finding[] }

/** What one call archives: it has to end before its caller gives up. */
const AT_A_TIME = 8

/** The log as it was last signed. */
export type Signed = { note: string; size: number; keys: string[] }

export const archive = async (
  db: D1Database,
  log: LogReader,
  signed: Signed,
  { days, receipts }: Retention,
  now: number,
): Promise<ArchiveReply> => {
  const first = await nextBundle(db, log.tenant)
  const full = Math.floor(signed.size / WIDTH)
  const before = now - days * 86_400_000
  for (let n = first; n < full; n++) {
    const tooMany = signed.size - n * WIDTH > receipts
    if (n - first === AT_A_TIME) return { kind: 'archived', bundles: AT_A_TIME, more: true }
    const lines = await exportBundle(log, inD1(db, log.tenant), n, signed.size)
    if (!lines) break
    const own = lines.filter(line => line.type === 'receipt')
    const times = own.map(({ at }) => at)
    if (!tooMany && Math.max(0, ...times) >= before) return { kind: 'archived', bundles: n - first, more: false }
    const header: ExportHeader = {
      type: 'export',
      v: 1,
      tenant: log.tenant,
      from: n * WIDTH,
      to: (n + 1) * WIDTH,
      checkpoint: signed.note,
      keys: signed.keys,
    }
    const texts = [header, ...lines].map(line => JSON.stringify(line))
    const findings = await findingsIn(texts, signed.keys)
    if (findings.length > 0) return { kind: 'unsound', bundle: n, findings }
    // the file first: whatever fails after this, the receipts are somewhere
    await log.bucket.put(keyOf(log.tenant, n), await packed(texts.join('\n')))
    await leave(db, log.tenant, n, own)
  }
  return { kind: 'archived', bundles: Math.max(0, full - first), more: false }
}

/** The receipts of an archived bundle; `undefined` where it isn't archived. */
export const archived = async ({ bucket, tenant }: LogReader, n: number): Promise<ExportedReceipt[] | undefined> => {
  const object = await bucket.get(keyOf(tenant, n))
  if (!object) return undefined
  const text = await new Response(object.body.pipeThrough(new DecompressionStream('gzip'))).text()
  const lines: (ExportHeader | ExportBundle | ExportedReceipt)[] = text.split('\n').map(line => JSON.parse(line))
  return lines.filter(line => line.type === 'receipt')
}

/** Finds receipts in D1, and those that left it in the archive. */
export const onRecord = (db: D1Database, log: LogReader, n: number): Finder => {
  const current = inD1(db, log.tenant)
  return async places => {
    const found = await current(places)
    if (found.length === places.length) return found
    const here = new Set(found.map(({ chain, seq }) => `${chain}/${seq}`))
    const kept = (await archived(log, n)) ?? []
    return [...found, ...kept.filter(({ chain, seq }) => !here.has(`${chain}/${seq}`)).map(stored)]
  }
}

/** The receipt of a decision that is no longer in D1. Its id says when it was made (RFC 9562, UUIDv7). */
export const archivedDecision = async (db: D1Database, log: LogReader, id: string): Promise<Recorded | undefined> => {
  if (!v.is(v.pipe(v.string(), v.uuid()), id)) return undefined
  const at = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
  const { results } = await db
    .prepare('SELECT n FROM archived WHERE tenant = ? AND from_at <= ? AND to_at >= ? ORDER BY n LIMIT 20')
    .bind(log.tenant, at + NEAR_MS, at - NEAR_MS)
    .all<{ n: number }>()
  for (const { n } of results) {
    const line = (await archived(log, n))?.find(({ columns }) => columns?.evaluation_id === id)
    if (line && typeof line.body !== 'string' && typeof line.secrets !== 'string') {
      const { type: _, leaf: __, columns, body, secrets, ...link } = line
      return { v: 1, ...link, body, secrets, tenant: log.tenant, agent: columns?.agent ?? null }
    }
  }
  return undefined
}

/** An object may have been slow to decide, or its clock a little off. */
const NEAR_MS = 60_000

const keyOf = (tenant: string, n: number): string =>
  `${logPrefix(tenant)}archive/${String(n).padStart(12, '0')}.ndjson.gz`

const nextBundle = async (db: D1Database, tenant: string): Promise<number> => {
  const row = await db
    .prepare('SELECT max(n) + 1 AS next FROM archived WHERE tenant = ?')
    .bind(tenant)
    .first<{ next: number | null }>()
  return row?.next ?? 0
}

const findingsIn = async (lines: readonly string[], keys: readonly string[]): Promise<Finding[]> => {
  const verifier = createVerifier(keys)
  for (const line of lines) await verifier.line(line)
  return (await verifier.end()).findings
}

const packed = async (text: string): Promise<ArrayBuffer> =>
  new Response(new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer()

/** Takes receipts out of D1, if they are still those that were archived, and notes where they went. */
const leave = async (
  db: D1Database,
  tenant: string,
  n: number,
  receipts: readonly ExportedReceipt[],
): Promise<void> => {
  const sent = JSON.stringify(receipts.map(({ chain, seq, hash }) => [chain, seq, hash]))
  const times = receipts.length > 0 ? receipts.map(({ at }) => at) : [0]
  const going = `SELECT receipts.id FROM json_each(?1) AS sent CROSS JOIN receipts
    ON receipts.chain = sent.value->>0 AND receipts.seq = sent.value->>1 AND receipts.hash = sent.value->>2`
  await db.batch([
    db
      .prepare(
        `DELETE FROM receipt_policies WHERE (tenant, policy, at, receipt) IN (
           SELECT receipts.tenant, policies.value, receipts.at, receipts.id
           FROM receipts, json_each(receipts.body, '$.decision.policies') AS policies WHERE receipts.id IN (${going}))`,
      )
      .bind(sent),
    db.prepare(`DELETE FROM receipts WHERE id IN (${going})`).bind(sent),
    db
      .prepare('INSERT INTO archived (tenant, n, from_at, to_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')
      .bind(tenant, n, Math.min(...times), Math.max(0, ...times)),
  ])
}

/** A line as a store would have it. */
const stored = ({ type: _, leaf: __, body, secrets, ...rest }: ExportedReceipt): FoundReceipt => ({
  ...rest,
  body: typeof body === 'string' ? body : jcs(body),
  secrets: typeof secrets === 'string' ? secrets : JSON.stringify(secrets),
})
