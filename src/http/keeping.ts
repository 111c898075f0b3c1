import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { archive } from '../audit/archive.ts'
import { signedLog } from '../audit/keep.ts'
import type { ExportedReceipt } from '../audit/log/lines.ts'
import { logOf } from '../audit/log/names.ts'
import { ReceiptLine } from '../audit/log/read-line.ts'
import { restore } from '../audit/restore.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { authenticated } from './authenticated.ts'
import { inQuery, json, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

/** What a call to restore may hold: the receipts of one bundle. */
const MAX_CHARS = 24 * 1024 * 1024
/** Chains whose objects are asked in one call. */
const CHAINS = 40

const Archived = v.object({ bundles: v.number(), more: v.boolean() })
const Restored = v.object({ receipts: v.number() })
const Refilled = v.object({ chains: v.number(), next: v.optional(v.string()) })
const Place = v.object({
  n: v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,9})$/, 'the number of a bundle'), v.transform(Number)),
})

const NONE = () => problem(refusal(404, 'not_found', { detail: 'the log has no checkpoint yet' }))

const Query = v.strictObject({ after: v.optional(v.pipe(v.string(), v.maxLength(256)), '') })

/** What an admin does to keep the record small, and whole. Each is called again until nothing is left to do. */
export const keeping = new Hono<AppEnv>()
  .post(
    '/v1/record/archive',
    describeRoute({
      summary: 'Move receipts beyond the retention from D1 to the bucket, some at a time',
      responses: { 200: json('What was moved', Archived), ...problems(401, 403, 404, 409) },
    }),
    authenticated(['admin']),
    async c => {
      const found = await signedLog(c.env, c.var.place.tenant)
      if (!found) return NONE()
      const keep = c.var.session.bundle.settings.log?.keep
      if (!keep) return problem(refusal(404, 'not_found', { detail: 'the tenant sets no retention (log.keep)' }))
      const reply = await archive(c.env.DB, found.log, found.signed, keep, c.var.now)
      if (reply.kind === 'archived') return c.json({ bundles: reply.bundles, more: reply.more })
      const [finding] = reply.findings
      const detail = `bundle ${reply.bundle}: ${JSON.stringify(finding)}`
      return problem(refusal(409, 'record_unsound', { detail }))
    },
  )
  .post(
    '/v1/record/restore/:n',
    describeRoute({
      summary: 'Write receipts of one bundle back to D1, as lines of an export',
      responses: { 200: json('What is in D1', Restored), ...problems(400, 401, 403, 404, 409, 413) },
    }),
    authenticated(['admin']),
    async c => {
      const place = read(Place, { n: c.req.param('n') })
      if (isRefusal(place)) return problem(place)
      const found = await signedLog(c.env, c.var.place.tenant)
      if (!found) return NONE()
      const text = await c.req.text()
      if (text.length > MAX_CHARS) return problem(refusal(413, 'body_too_large'))
      const lines = linesIn(text)
      if (!lines)
        return problem(refusal(400, 'malformed_json', { pointer: '', detail: 'lines of receipts, as exported' }))
      const reply = await restore(c.env.DB, found.log, found.signed.size, place.n, lines)
      if (reply.kind === 'restored') return c.json({ receipts: reply.receipts })
      return problem(refusal(409, 'record_unsound', { detail: `leaf ${reply.leaf} is not what the log vouches for` }))
    },
  )
  .post(
    '/v1/record/refill',
    describeRoute({
      summary: 'Let agents send again what D1 may have lost, some chains at a time',
      parameters: inQuery(Query),
      responses: { 200: json('Chains that were asked', Refilled), ...problems(400, 401, 403) },
    }),
    authenticated(['admin']),
    async c => {
      const query = read(Query, c.req.query())
      if (isRefusal(query)) return problem(query)
      const chains = await logOf(c.env.LOG, c.var.place.tenant).chains({ after: query.after, limit: CHAINS })
      await Promise.all(chains.map(({ chain }) => c.env.AGENT.getByName(chain).refill({ from: 1 })))
      const last = chains.length === CHAINS ? chains.at(-1)?.chain : undefined
      return c.json({ chains: chains.length, ...(last !== undefined && { next: last }) })
    },
  )

const linesIn = (text: string): ExportedReceipt[] | undefined => {
  try {
    const read = text
      .split('\n')
      .filter(line => line !== '')
      .map(line => v.safeParse(ReceiptLine, JSON.parse(line)))
    return read.every(line => line.success) ? read.map(line => line.output as ExportedReceipt) : undefined
  } catch {
    return undefined
  }
}
