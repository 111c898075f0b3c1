import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { base64url } from 'jose'
import * as v from 'valibot'
import { isPerson } from '../audit/privacy/acting.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import { commitment, type Secret } from '../audit/receipt.ts'
import { forget } from '../audit/store.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { forgetUser } from '../delegation/store.ts'
import { nameOf } from '../durable/names.ts'
import { eraseEscalations } from '../escalation/erasure.ts'
import { forgetFacts } from '../facts/forget.ts'
import { uidText } from '../identity/uid.ts'
import { actorAt } from './acting.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Text = v.pipe(v.string(), v.minLength(1), v.maxLength(1_000))
const Erasure = v.object({ subject: v.object({ type: Text, id: Text }), reason: Text })
const Erased = v.object({
  /** The receipt that says so, without saying who it was. */
  receipt: v.object({ chain: v.string(), seq: v.number(), hash: v.string() }),
})

/** Takes a person's data out of the record, for good: their key goes, and what lies under it can't be read by anyone. */
export const erasures = new Hono<AppEnv>().post(
  '/v1/erasures',
  describeRoute({
    summary: 'Erase the personal data of a user or resource',
    requestBody: jsonBody(Erasure),
    responses: { 200: json('Erased', Erased), ...problems(400, 401, 403, 404, 413, 503) },
  }),
  authenticated(['admin']),
  async c => {
    const body = await readBody(c)
    if (isRefusal(body)) return problem(body)
    const wanted = read(Erasure, body.value)
    if (isRefusal(wanted)) return problem(wanted)
    const { tenant } = c.var.place
    const vault = vaultOf(c.env, tenant, c.var.now)
    const name = uidText(wanted.subject)
    const subject = await vault.blind(name)
    const acts = isPerson(wanted.subject, c.var.session.bundle.settings.privacy)
    let escalations: number
    try {
      // first, so that where one can't be reached the whole can be asked for again
      escalations = await eraseEscalations(c.env, tenant, wanted.subject, { acts, at: c.var.now })
      if (acts && (await vault.keyOf(subject)))
        await c.env.AGENT.getByName((await actorAt(c, wanted.subject)).name).retire()
    } catch (error) {
      console.error('an erasure did not reach every escalation:', error)
      return problem(refusal(503, 'control_unreachable', { detail: 'not all of it is erased yet: ask again' }))
    }
    const facts = await forgetFacts(c.env.DB, tenant, name)
    if (!(await vault.erase(subject)) && escalations + facts === 0)
      return problem(refusal(404, 'not_found', { detail: 'nothing is kept of them' }))
    await forget(c.env.DB, tenant, subject)
    await forgetUser(c.env.DB, tenant, [subject, name], c.var.now)
    const secrets = { caller: salted(c.var.session.caller.name), reason: salted(wanted.reason) }
    const chain = nameOf('unattributed', tenant, 'record')
    const receipt = await c.env.AGENT.getByName(chain).note({
      v: 1,
      tenant,
      agent: 'record',
      kind: 'erasure',
      at: c.var.now,
      body: { agent: 'record', subject, caller: commitment(secrets.caller), reason: commitment(secrets.reason) },
      secrets,
    })
    return c.json({ receipt: { chain, ...receipt } } satisfies v.InferOutput<typeof Erased>)
  },
)

const salted = (value: string): Secret => ({
  salt: base64url.encode(crypto.getRandomValues(new Uint8Array(16))),
  value,
})
