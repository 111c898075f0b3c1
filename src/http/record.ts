import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { archivedDecision } from '../audit/archive.ts'
import { backlogOf } from '../audit/collectors.ts'
import { actingAs } from '../audit/privacy/acting.ts'
import { isSearchedBlind, openSecrets } from '../audit/privacy/seal.ts'
import { type Vault, vaultOf } from '../audit/privacy/vault.ts'
import { type Filter, type Recorded, receiptOf, receiptsOf } from '../audit/store.ts'
import { read } from '../decision/ask.ts'
import { Moment } from '../decision/moment.ts'
import { reasons } from '../decision/reasons.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { readUid, uidText } from '../identity/uid.ts'
import type { Privacy } from '../policy/tenant.ts'
import { outcomes } from '../settle/outcome.ts'
import { authenticated } from './authenticated.ts'
import { inQuery, json, problems } from './describe.ts'
import { ChainText, EntityText } from './entity.ts'
import { problem } from './problem.ts'
import { Time, timeText } from './time.ts'
import type { AppEnv } from './types.ts'

const Text = v.optional(v.pipe(v.string(), v.maxLength(1_024)))
const Since = v.optional(
  v.pipe(
    Moment,
    v.transform(text => Date.parse(text)),
  ),
)

/** A filter that is misspelt must not show everything. */
const Query = v.strictObject({
  agent: v.optional(ChainText),
  user: v.optional(EntityText),
  resource: v.optional(EntityText),
  action: Text,
  policy: Text,
  outcome: v.optional(v.picklist(outcomes)),
  reason: v.optional(v.picklist(Object.keys(reasons))),
  since: Since,
  /** Excluded. */
  until: Since,
  cursor: v.optional(v.pipe(v.string(), v.maxLength(256))),
  limit: v.optional(
    v.pipe(v.string(), v.regex(/^[1-9]\d{0,2}$/, '1 to 200'), v.transform(Number), v.maxValue(200, 'at most 200')),
    '50',
  ),
})

/** As it is hashed, so its names and times are those of the record. */
const Receipt = v.object({
  v: v.literal(1),
  chain: v.string(),
  seq: v.number(),
  prev: v.string(),
  kind: v.string(),
  at: v.number(),
  bodyCommit: v.string(),
  hash: v.string(),
  /** Whose chain it is, or one of those for callers that no bundle knows. */
  agent: v.nullable(v.string()),
  /** What `bodyCommit` is the hash of. */
  body: v.record(v.string(), v.unknown()),
  /** What the body commits to, as long as it isn't erased. */
  secrets: v.record(v.string(), v.object({ salt: v.string(), value: v.unknown() })),
  /** Its content is no JSON: verify the record. */
  damaged: v.optional(v.literal(true)),
})
const Chain = { chain: v.string(), agent: v.string() }
const Backlog = v.object({
  /** Of the oldest receipt that waits. */
  oldest_age_ms: v.optional(v.number()),
  /** Chains that wait, the longest first: since when, and why the last attempt failed. */
  chains: v.array(v.object({ ...Chain, since: Time, error: v.optional(v.string()) })),
  /** Chains that the record contradicts at `seq`. */
  forks: v.array(v.object({ ...Chain, seq: v.number() })),
})
const Page = v.object({ receipts: v.array(Receipt), next: v.optional(v.string()) })

/** The record as auditors read it: what has reached D1, and what is still on its way. */
export const record = new Hono<AppEnv>()
  .get(
    '/v1/receipts',
    describeRoute({
      summary: 'Receipts, newest first',
      parameters: inQuery(Query),
      responses: { 200: json('One page', Page), ...problems(400, 401, 403) },
    }),
    authenticated(['auditor', 'admin']),
    async c => {
      const query = read(Query, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { cursor, limit, ...filter } = query
      const vault = vaultOf(c.env, c.var.place.tenant, c.var.now)
      const { privacy } = c.var.session.bundle.settings
      const page = await receiptsOf(c.env.DB, c.var.place.tenant, await blinded(defined(filter), privacy, vault), {
        limit,
        ...(cursor !== undefined && { cursor }),
      })
      if (!page)
        return problem(refusal(400, 'malformed_request', { pointer: '/cursor', detail: 'not a cursor of ours' }))
      const { receipts, next } = page
      return c.json({
        receipts: await Promise.all(receipts.map(receipt => shown(receipt, vault))),
        ...(next !== undefined && { next }),
      })
    },
  )
  .get(
    '/v1/decisions/:id',
    describeRoute({
      summary: 'The receipt of one decision',
      responses: { 200: json('The receipt', Receipt), ...problems(401, 403, 404) },
    }),
    authenticated(['auditor', 'admin']),
    async c => {
      const { tenant } = c.var.place
      const id = c.req.param('id')
      const log = { bucket: c.env.RECORD, tenant }
      const receipt = (await receiptOf(c.env.DB, tenant, id)) ?? (await archivedDecision(c.env.DB, log, id))
      const vault = vaultOf(c.env, c.var.place.tenant, c.var.now)
      return receipt ? c.json(await shown(receipt, vault)) : problem(refusal(404, 'not_found'))
    },
  )
  .get(
    '/v1/backlog',
    describeRoute({
      summary: "What D1 doesn't have yet: chains that wait, since when, and those that it contradicts",
      responses: { 200: json('The backlog', Backlog), ...problems(401, 403) },
    }),
    authenticated(['auditor', 'admin']),
    async c => {
      const { chains, forks } = await backlogOf(c.env.COLLECTOR, c.var.place.tenant)
      const oldest = chains[0]?.since
      return c.json({
        ...(oldest !== undefined && { oldest_age_ms: Math.max(0, c.var.now - oldest) }),
        chains: chains.map(({ since, ...chain }) => ({ ...chain, since: timeText(since) })),
        forks,
      } satisfies v.InferOutput<typeof Backlog>)
    },
  )

/** What was asked for, and nothing of what wasn't. */
const defined = (filter: { [K in keyof Filter]?: Filter[K] | undefined }): Filter =>
  Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))

/** Auditors read in clear what still has a key. */
const shown = async ({ tenant: _, ...receipt }: Recorded, vault: Vault) => ({
  ...receipt,
  secrets: await openSecrets(receipt.secrets, vault),
})

/** What lies under keys is searched by what stands for it. */
const blinded = async (filter: Filter, privacy: Privacy | undefined, vault: Vault): Promise<Filter> => {
  const changed = { ...filter }
  for (const field of ['user', 'resource'] as const) {
    const text = filter[field]
    if (text !== undefined && isSearchedBlind(field, text, privacy)) changed[field] = await vault.blind(text)
  }
  const { agent } = filter
  // receipts show pseudonyms, and they are searched by as they are
  if (agent?.includes('::"') && !agent.includes('::"~')) {
    changed.agent = uidText(await actingAs(readUid(agent), privacy, vault))
  }
  return changed
}
