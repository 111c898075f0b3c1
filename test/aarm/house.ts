import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { compactVerify, createLocalJWKSet } from 'jose'
import * as v from 'valibot'
import { logOf } from '../../src/audit/log/names.ts'
import type { Answer } from '../../src/decision/answer.ts'
import { nameOf } from '../../src/durable/names.ts'
import { exportOf, verify } from '../audit/log/build.ts'
import { clock } from '../clock.ts'
import { submission, TaskAnswer } from '../escalation/world.ts'
import { at } from '../facts/build.ts'
import { createWorld, type TokenClaims } from '../http/world.ts'

type Context = Answer['context']

/**
 * The tenant of the fixture `aarm` with a tool behind it, which does what a permit that it could redeem is for, and
 * nothing else: `effects` is what came of it in the world.
 */
export const createHouse = async () => {
  const world = await createWorld({ folder: 'aarm' })
  const effects: string[] = []

  const redeem = async (permit: string): Promise<boolean> =>
    (await world.post('/v1/permits/redeem', { permit }, { token: await world.pepToken() })).status === 200

  /** Asks, and lets the tool do what is permitted. */
  const attempt = async (what: ReturnType<typeof asking>, claims: TokenClaims = {}): Promise<Context> => {
    const token = await world.agentToken(what.subject.id, { sid: 's1', ...claims })
    const { context } = await world.evaluate(what, { token })
    if (context.permit !== undefined && (await redeem(context.permit))) {
      effects.push(`${what.action.name} ${JSON.stringify(context.arguments ?? what.action.properties)}`)
    }
    return context
  }

  const state = async (source: string, value: boolean, id = 'a1') => {
    const entity = { type: 'Account', id }
    const facts = [{ entity, predicate: 'cleared', value, observed_at: at(-1_000) }]
    const token = await world.token({ sub: source, roles: ['source'], source })
    const response = await world.post('/v1/facts', { facts }, { token })
    if (response.status !== 200) throw new Error(await response.text())
  }

  /** Asks a human for what was denied, as the approval profile has it. */
  const request = async (what: ReturnType<typeof asking>, { evaluation_id, access_request }: Context) => {
    if (!access_request) throw new Error('it can not be requested')
    const body = submission({ ask: what, evaluation: evaluation_id, request: access_request })
    const token = await world.agentToken(what.subject.id, { sid: 's1' })
    const response = await world.post('/access/v1/requests', body, { token })
    if (response.status !== 202) throw new Error(await response.text())
    return v.parse(TaskAnswer, await response.json()).task.id
  }
  const task = async (id: string) =>
    v.parse(
      TaskAnswer,
      await (
        await world.send('GET', `/access/v1/requests/${id}`, undefined, {
          token: await world.agentToken('clerk', { sid: 's1' }),
        })
      ).json(),
    )
  const asApprover = async (id = 'fay') => ({
    token: await world.token({ sub: id, roles: ['approver'], user: { type: 'User', id } }),
  })
  /** Lets time pass for a request that humans have. */
  const later = async (id: string, ms: number) => {
    clock.advance(ms)
    await runDurableObjectAlarm(env.ESCALATION.getByName(nameOf('escalation', world.tenant, id)))
  }

  const auditor = await world.token({ roles: ['auditor'], exp: Math.floor(clock.now() / 1000) + 80_000 })
  const get = (path: string) => world.send('GET', path, undefined, { token: auditor })
  const getJson = async (path: string) => JSON.parse(await (await get(path)).text())

  /** Lets receipts reach the record, and the log its next checkpoint. */
  const settle = async (...agents: string[]) => {
    clock.advance(2_000)
    for (const id of agents) await runDurableObjectAlarm(world.object(id))
    clock.advance(3_000)
    await runDurableObjectAlarm(logOf(env.LOG, world.tenant))
  }
  const receipt = async (id: string) => v.parse(Receipt, await getJson(`/v1/decisions/${id}`))
  const jwks = async () => JSON.parse(await (await world.send('GET', '/.well-known/jwks.json', undefined)).text())

  return {
    ...world,
    auditor,
    get,
    getJson,
    effects,
    redeem,
    attempt,
    state,
    request,
    task,
    asApprover,
    later,
    settle,
    /** A decision's receipt, as auditors read it in the record. */
    receipt,
    /** The same as a signed document, and the keys that are all that checking it takes. */
    signed: async (id: string) =>
      new TextDecoder().decode(await (await get(`/v1/decisions/${id}/signed`)).arrayBuffer()),
    jwks,
    opened: async (jws: string) => {
      const { payload } = await compactVerify(jws, createLocalJWKSet(await jwks()))
      return v.parse(v.object({ receipt: Receipt }), JSON.parse(new TextDecoder().decode(payload))).receipt
    },
    /** What an export of the record comes to, checked with the log's key alone. `bend` changes lines before that. */
    audited: async (bend: (line: string) => string = line => line) => {
      const whole = { ...world, auditor, get, getJson }
      const { keys } = await getJson('/v1/log')
      return verify((await exportOf(whole)).map(bend), keys)
    },
  }
}
export type House = Awaited<ReturnType<typeof createHouse>>

/** What `clerk`, or another agent, asks for: about the account a1 where nothing else is said. */
export const asking = (
  name: string,
  properties: Record<string, unknown> = {},
  { id = 'a1', agent = 'clerk', context = {} }: { id?: string; agent?: string; context?: Record<string, unknown> } = {},
) => ({
  subject: { type: 'Agent', id: agent },
  action: { name, properties },
  resource: name === 'mail' ? { type: 'Mailbox', id: 'out' } : { type: 'Account', id },
  context,
})

const Receipt = v.looseObject({
  kind: v.string(),
  at: v.number(),
  body: v.looseObject({ decision: v.looseObject({ outcome: v.string(), reason: v.string() }) }),
  secrets: v.record(v.string(), v.looseObject({ value: v.unknown() })),
})
