import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { describeRoute } from 'hono-openapi'
import { CompactSign } from 'jose'
import * as v from 'valibot'
import { archivedDecision, onRecord } from '../audit/archive.ts'
import { consistencyProof, inclusionProof, type LogReader, readLatest, readTile } from '../audit/log/bucket.ts'
import { exportBundle, inAgents } from '../audit/log/export.ts'
import { logOf, logOrigin } from '../audit/log/names.ts'
import { vkeyOf } from '../audit/log/note.ts'
import { logVerifiers } from '../audit/log/signer.ts'
import { readTilePath } from '../audit/log/tiles.ts'
import { openSecrets } from '../audit/privacy/seal.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import { receiptOf } from '../audit/store.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { jcs } from '../durable/jcs.ts'
import { signer } from '../identity/keys.ts'
import { authenticated, sourceIo } from './authenticated.ts'
import { inQuery, json, problems } from './describe.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

const auditors = authenticated(['auditor', 'admin'])

/** The log is the auditors', or everyone's where the tenant says so: standard monitors bring no token. */
const readers: MiddlewareHandler<AppEnv> = async (c, next) => {
  if (c.req.header('authorization') !== undefined) return auditors(c, next)
  const found = await c.var.parts.source.current(c.var.place.tenant, sourceIo(c))
  if (!found.ok || !found.bundle.settings.log?.public) return problem(refusal(401, 'unauthenticated'))
  return next()
}

const logFor = (c: Context<AppEnv>): LogReader => ({ bucket: c.env.RECORD, tenant: c.var.place.tenant })

const Size = v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,15})$/, 'a number of leaves'), v.transform(Number))
const BundleQuery = v.strictObject({
  /** The checkpoint's size, which the proofs lead to. */
  size: Size,
  /** Where the receipts are read: the record, or the objects that made them. */
  source: v.optional(v.picklist(['d1', 'agents']), 'd1'),
})
const Sizes = v.strictObject({ from: Size, to: Size })
const OfSize = v.strictObject({ size: Size })
const Proof = v.object({ from: v.number(), to: v.number(), proof: v.array(v.string()) })
const Included = v.object({
  /** Where the entry `{chain, hash, seq}` (JCS) stands in the log. */
  leaf: v.number(),
  /** The siblings of the leaf up to the checkpoint's root (RFC 6962, 2.1.1), base64. */
  proof: v.array(v.string()),
  checkpoint: v.string(),
})
const Log = v.object({
  origin: v.string(),
  /** Leaves, and how many of them the newest checkpoint covers. */
  size: v.number(),
  published: v.number(),
  checkpoint: v.optional(v.string()),
  /** Verifier keys that may have signed checkpoints, and those that the log says have, with the leaf that says so. */
  keys: v.array(v.string()),
  signers: v.array(v.object({ key: v.string(), leaf: v.number() })),
})

const text = (description: string) => ({
  description,
  content: { 'text/plain': { schema: { type: 'string' as const } } },
})
const NDJSON = 'application/x-ndjson'
const ndjson = (description: string) => ({ description, content: { [NDJSON]: {} } })
const bytes = (description: string) => ({ description, content: { 'application/octet-stream': {} } })

/** The tenant's log as C2SP's tlog-tiles has it, and what else witnesses and auditors ask of it. */
export const log = new Hono<AppEnv>()
  .get(
    '/v1/log/checkpoint',
    describeRoute({
      summary: 'The newest signed checkpoint (C2SP tlog-checkpoint), with cosignatures',
      responses: { 200: text('The note'), ...problems(401, 403, 404) },
    }),
    readers,
    async c => {
      const latest = await readLatest(logFor(c))
      if (!latest) return problem(refusal(404, 'not_found'))
      return c.text(latest.note, 200, { 'cache-control': 'no-cache' })
    },
  )
  .get(
    '/v1/log/tile/:tile{.+}',
    describeRoute({
      summary: 'A tile of the tree, or a bundle of entries (C2SP tlog-tiles)',
      responses: { 200: bytes('Hashes, or entries after their lengths'), ...problems(401, 403, 404) },
    }),
    readers,
    async c => {
      const tile = readTilePath(c.req.path.slice('/v1/log/'.length))
      const body = tile && (await readTile(logFor(c), tile))
      if (!body) return problem(refusal(404, 'not_found'))
      const shared = c.req.header('authorization') === undefined ? 'public' : 'private'
      return c.body(Uint8Array.from(body), 200, {
        'content-type': 'application/octet-stream',
        'cache-control': `${shared}, max-age=31536000, immutable`,
      })
    },
  )
  .get(
    '/v1/log',
    describeRoute({
      summary: 'How far the log has come, and the keys that sign it',
      responses: { 200: json('The log', Log), ...problems(401, 403) },
    }),
    auditors,
    async c => {
      const { tenant } = c.var.place
      const origin = logOrigin(c.env, tenant)
      const status = await logOf(c.env.LOG, tenant).status()
      const keys = (await logVerifiers(c.env, origin)).map(vkeyOf)
      return c.json({ origin, ...status, keys } satisfies v.InferOutput<typeof Log>)
    },
  )
  .get(
    '/v1/log/consistency',
    describeRoute({
      summary: 'The proof that a tree continues an older one (RFC 6962, 2.1.2), as witnesses ask for it',
      parameters: inQuery(Sizes),
      responses: { 200: json('Hashes, base64', Proof), ...problems(400, 401, 403, 404) },
    }),
    auditors,
    async c => {
      const query = read(Sizes, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { from, to } = query
      const latest = await readLatest(logFor(c))
      if (!latest || from > to || to > latest.size) return problem(refusal(404, 'not_found'))
      const proof = await consistencyProof({ ...logFor(c), published: latest.size }, from, to)
      return c.json({ from, to, proof: proof.map(base64) } satisfies v.InferOutput<typeof Proof>)
    },
  )
  .get(
    '/v1/decisions/:id/proof',
    describeRoute({
      summary: "The proof that a decision's receipt is in the log",
      responses: { 200: json('The proof', Included), ...problems(401, 403, 404) },
    }),
    auditors,
    async c => {
      const found = await provenReceipt(c, c.req.param('id'))
      return found ? c.json(found.log) : problem(refusal(404, 'not_found'))
    },
  )
  .get(
    '/v1/log/bundles/:n',
    describeRoute({
      summary: 'The n-th 256 leaves of the log as lines of an export: their proof, and their receipts',
      parameters: inQuery(BundleQuery),
      responses: { 200: ndjson('NDJSON'), ...problems(400, 401, 403, 404) },
    }),
    auditors,
    async c => {
      const query = read(v.strictObject({ ...BundleQuery.entries, n: Size }), { ...c.req.query(), n: c.req.param('n') })
      if (isRefusal(query)) return problem(query)
      const latest = await readLatest(logFor(c))
      if (!latest || query.size > latest.size) return problem(refusal(404, 'not_found'))
      const find = query.source === 'd1' ? onRecord(c.env.DB, logFor(c), query.n) : inAgents(c.env.AGENT)
      const reader = { ...logFor(c), published: latest.size }
      const lines = await exportBundle(reader, find, query.n, query.size)
      if (!lines) return problem(refusal(404, 'not_found'))
      return c.body(lines.map(line => `${JSON.stringify(line)}\n`).join(''), 200, { 'content-type': NDJSON })
    },
  )
  .get(
    '/v1/decisions/:id/signed',
    describeRoute({
      summary: "A decision's receipt with its proof, signed (JWS, RFC 7515): complete for whoever has the public keys",
      responses: { 200: { description: 'The JWS', content: { 'application/jose': {} } }, ...problems(401, 403, 404) },
    }),
    auditors,
    async c => {
      const { tenant } = c.var.place
      const found = await provenReceipt(c, c.req.param('id'))
      if (!found) return problem(refusal(404, 'not_found'))
      const { receipt, log } = found
      const { tenant: _, agent, ...kept } = receipt
      const secrets = await openSecrets(receipt.secrets, vaultOf(c.env, tenant, c.var.now))
      const statement = { iss: identifierOf(tenant, c.env), agent, receipt: { ...kept, secrets }, log }
      const { alg, kid, key } = await signer(c.env)
      const jws = await new CompactSign(new TextEncoder().encode(jcs(statement)))
        .setProtectedHeader({ alg, typ: 'receipt+jws', kid })
        .sign(key)
      return c.body(jws, 200, { 'content-type': 'application/jose' })
    },
  )
  .post(
    '/v1/log/cosignatures',
    describeRoute({
      summary: "Keeps witnesses' signature lines (C2SP tlog-cosignature) for the checkpoint of `size`",
      parameters: inQuery(OfSize),
      requestBody: { required: true, content: { 'text/plain': { schema: { type: 'string' } } } },
      responses: {
        200: json('Who cosigned', v.object({ witnesses: v.array(v.string()) })),
        ...problems(400, 401, 403, 404, 413),
      },
    }),
    auditors,
    async c => {
      const query = read(OfSize, c.req.query())
      if (isRefusal(query)) return problem(query)
      const lines = await c.req.text()
      if (lines.length > MAX_LINES) return problem(refusal(413, 'body_too_large'))
      const trusted = c.var.session.bundle.settings.log?.witnesses ?? []
      const reply = await logOf(c.env.LOG, c.var.place.tenant).cosign({ size: query.size, lines, trusted })
      switch (reply.kind) {
        case 'accepted':
          return c.json({ witnesses: reply.witnesses })
        case 'unknown_checkpoint':
          return problem(refusal(404, 'not_found', { detail: 'no checkpoint of that size' }))
        case 'not_cosigned':
          return problem(refusal(400, 'not_cosigned'))
      }
    },
  )

/** A decision's receipt, in D1 or archived, and the proof that it is in the log; `undefined` before a checkpoint covers it. */
const provenReceipt = async (c: Context<AppEnv>, id: string) => {
  const { tenant } = c.var.place
  const receipt = (await receiptOf(c.env.DB, tenant, id)) ?? (await archivedDecision(c.env.DB, logFor(c), id))
  const leaf = receipt && (await logOf(c.env.LOG, tenant).leafOf({ chain: receipt.chain, seq: receipt.seq }))
  const latest = await readLatest(logFor(c))
  if (!receipt || leaf === undefined || !latest || leaf >= latest.size) return undefined
  const proof = (await inclusionProof(logFor(c), leaf, latest.size)).map(base64)
  return { receipt, log: { leaf, proof, checkpoint: latest.note } satisfies v.InferOutput<typeof Included> }
}

const MAX_LINES = 16 * 1024

const base64 = (hash: Uint8Array): string => Buffer.from(hash).toString('base64')
