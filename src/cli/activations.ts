import * as v from 'valibot'
import { sqlText, type Wrangler } from './wrangler.ts'

const Row = v.object({
  seq: v.number(),
  hash: v.string(),
  pushed_at: v.string(),
  pushed_by: v.string(),
  note: v.nullable(v.string()),
})
/** One line of a tenant's history: which bundle was made active when, by whom. */
export type ActivationRow = v.InferOutput<typeof Row>

/** A tenant's history, the latest first. */
export const activationsOf = async (wrangler: Wrangler, tenant: string, most: number): Promise<ActivationRow[]> =>
  v.parse(
    v.array(Row),
    await wrangler.d1(
      `SELECT seq, hash, pushed_at, pushed_by, note FROM activations WHERE tenant = ${sqlText(tenant)} ORDER BY seq DESC LIMIT ${most}`,
    ),
  )

export const activationAt = async (
  wrangler: Wrangler,
  tenant: string,
  seq: number,
): Promise<ActivationRow | undefined> =>
  v.parse(
    v.array(Row),
    await wrangler.d1(
      `SELECT seq, hash, pushed_at, pushed_by, note FROM activations WHERE tenant = ${sqlText(tenant)} AND seq = ${seq}`,
    ),
  )[0]

/**
 * Adds an activation, if the latest is still the one that it was made after (0: none). One statement compares and
 * sets, so of two pushes that race one gets `false`.
 */
export const addActivation = async (
  wrangler: Wrangler,
  tenant: string,
  { seq, hash, pushed_at, pushed_by, note }: ActivationRow,
  after: number,
): Promise<boolean> => {
  const values = [
    sqlText(tenant),
    seq,
    sqlText(hash),
    sqlText(pushed_at),
    sqlText(pushed_by),
    note === null ? 'NULL' : sqlText(note),
  ]
  const rows = await wrangler.d1(
    `INSERT INTO activations (tenant, seq, hash, pushed_at, pushed_by, note) SELECT ${values.join(', ')} ` +
      `WHERE (SELECT coalesce(max(seq), 0) FROM activations WHERE tenant = ${sqlText(tenant)}) = ${after} RETURNING seq`,
  )
  return rows.length === 1
}
