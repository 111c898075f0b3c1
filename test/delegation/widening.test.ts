import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { agentName } from '../../src/decision/prepare.ts'
import { nameOf } from '../../src/durable/names.ts'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import type { Tenant } from '../../src/policy/tenant.ts'
import { wrongLinks } from '../audit/verify.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { createWorld, type Send } from '../http/world.ts'
import { type Holder, holder, prove } from '../identity/proofs.ts'
import { calm } from '../outside.ts'
import { ask, type Delegated, delegate, exchange, GRANT, outcome, purseAt, refusalOf } from './delegating.ts'

afterEach(() => {
  clock.reset()
  calm()
})

const small = {
  ...GRANT,
  actions: ['refund'],
  resources: [{ type: 'Order', id: '7' }],
  arguments: { amount: { lte: 100 } },
}
const refund = (amount: number, id = '7') => ({
  subject: { type: 'Agent', id: 'helper' },
  action: { name: 'refund', properties: { amount } },
  resource: { type: 'Order', id },
})

type Answer = {
  access_token?: string
  authorization_details?: Record<string, unknown>[]
  error?: string
  reason?: string
  interval?: number
  task?: { id: string; status: string; status_endpoint: string }
}

type Widening = (Tenant['exchange'] & object)['widening'] & object

/** A desk whose tenant lets humans of finance be asked; its clerk may refund order 7 up to 100 and has a task for a helper. */
const createDesk = async (widening: Widening | null = { escalate: 'finance' }) => {
  const world = await createWorld({ folder: 'approvals', settings: widening ? { exchange: { widening } } : {} })
  const parent = await delegate(world, await world.agentToken(), { details: [small] })
  const key = await holder()
  /** The same exchange as often as it is made: only its proof is new. */
  const asking =
    (
      details: unknown,
      { of = parent, to = key, more = {} }: { of?: Delegated; to?: Holder; more?: Record<string, string> } = {},
    ) =>
    async (send?: Send): Promise<Answer> => {
      const proof = await prove(of.key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
      const form = { subject: of.token, agent: 'helper', details, jkt: to.jkt, proof, more }
      const response = await exchange(world, { ...form, ...(send && { send }) })
      return response.json()
    }
  const vote = async (task: string | undefined, who: string, body: Record<string, unknown> = { vote: 'approve' }) => {
    const token = await world.token({ sub: who, roles: ['approver'], user: { type: 'User', id: who } })
    return (await world.post(`/v1/escalations/${task}/votes`, body, { token })).json<Record<string, unknown>>()
  }
  const held = ({ access_token: token = '', authorization_details: details = [] }: Answer): Delegated => ({
    token,
    key,
    id: String(details.at(-1)?.grant),
    details,
  })
  const later = async (task: string, ms: number): Promise<void> => {
    clock.advance(ms)
    // It ends, and then it tells the agent's object.
    for (let times = 0; times < 2; times++)
      await runDurableObjectAlarm(env.ESCALATION.getByName(nameOf('escalation', world.tenant, task)))
  }
  return { world, parent, key, asking, vote, held, later }
}
type Desk = Awaited<ReturnType<typeof createDesk>>

describe('asking for more than a parent’s grants', () => {
  it('is refused where the tenant lets nobody be asked, and what can be narrowed is', async () => {
    const { world, parent } = await createDesk(null)
    expect(await refusalOf(delegate(world, parent, { details: [{ ...GRANT, actions: ['wire'] }] }))).toBe(
      'grant_widens',
    )
    const wide = { ...GRANT, actions: ['refund'], arguments: { amount: { lte: 400 } } }
    const child = await delegate(world, parent, { agent: 'helper', details: [wide] })
    expect(await outcome(world, child, refund(101))).toBe('outside_grant')
  })

  it('waits for humans under one handle, and then is given, once and on record', async () => {
    const { world, parent, asking, vote, held } = await createDesk()
    const wide = asking([{ ...GRANT, actions: ['refund'], arguments: { amount: { lte: 400 } } }])
    const first = await wide()
    expect(first).toMatchObject({
      error: 'authorization_pending',
      reason: 'approval_required',
      interval: 5,
      task: { status: 'pending', status_endpoint: expect.stringContaining('/access/v1/requests/') },
    })
    expect((await wide()).task?.id).toBe(first.task?.id)
    expect(await vote(first.task?.id, 'fay')).toMatchObject({ status: 'approved' })

    const answers = await Promise.all([wide(), wide(), wide()])
    const given = answers.filter(({ access_token }) => access_token !== undefined)
    expect(given).toHaveLength(1)
    expect(answers.filter(({ reason }) => reason === 'approval_used')).toHaveLength(2)
    expect(await wide()).toMatchObject({ error: 'invalid_grant', reason: 'approval_used' })

    const [answer = {}] = given
    const child = held(answer)
    expect(await outcome(world, child, refund(400))).toBe('permitted')
    // Exactly what was approved: the order is still the parent's, and the amount no more than was asked.
    expect(await outcome(world, child, refund(400, '8'))).toBe('outside_grant')
    expect(await outcome(world, child, refund(401))).toBe('outside_grant')
    expect(await outcome(world, child, { ...refund(1), action: { name: 'wire', properties: { amount: 1 } } })).toBe(
      'outside_grant',
    )
    expect(answer.authorization_details).toEqual([
      { ...small, grant: parent.id },
      { ...small, arguments: { amount: { lte: 400 } }, grant: parent.id },
      { ...GRANT, actions: ['refund'], arguments: { amount: { lte: 400 } }, grant: child.id },
    ])
    // The parent's own has not grown.
    expect(await outcome(world, parent, { ...refund(101), subject: { type: 'Agent', id: 'clerk' } })).toBe(
      'outside_grant',
    )

    const receipts = await world.receipts('clerk')
    expect(receipts.map(({ kind }) => kind)).toEqual([
      'delegation',
      'delegation',
      'escalation',
      'delegation',
      'decision',
    ])
    expect(wrongLinks(agentName(world.tenant, { type: 'Agent', id: 'clerk' }), receipts)).toEqual([])
    const [, asked, answered, delegated] = receipts.map(({ body }) => JSON.parse(body))
    expect(asked.delegation).toMatchObject({ outcome: 'step_up', reason: 'approval_required', to: { id: 'helper' } })
    expect(answered.escalation).toMatchObject({ status: 'approved', evaluation_id: asked.delegation.id })
    expect(delegated).toMatchObject({
      delegation: { id: child.id },
      approvals: [{ id: answered.escalation.approval, policies: ['tenant.json/exchange/widening'] }],
    })
    const { added, grants } = JSON.parse(receipts[3]?.secrets ?? '')
    expect(added.value).toEqual([{ grant: parent.id, items: [{ ...small, arguments: { amount: { lte: 400 } } }] }])
    expect(grants.value).toEqual(answer.authorization_details)
  })

  it('asks only for what it states: what it leaves open is the parent’s, and within that nobody is asked', async () => {
    const { world, asking, held } = await createDesk()
    for (const details of [
      [{ ...GRANT, actions: ['refund'] }],
      [{ ...GRANT, actions: ['refund'], arguments: { amount: { lt: 50 } } }],
      [{ ...GRANT, actions: ['refund'], arguments: { amount: { in: [1, 100] }, currency: { eq: 'EUR' } } }],
      [{ ...GRANT, actions: ['refund'], resources: [{ type: 'Order', id: '7' }], uses: 2 }],
      undefined,
    ]) {
      const answer = await asking(details)()
      expect(answer.error).toBeUndefined()
      expect(await outcome(world, held(answer), refund(101))).toBe('outside_grant')
    }
    for (const details of [
      [{ ...GRANT, actions: ['refund', 'wire'] }],
      [{ ...GRANT, actions: ['refund'], resources: [{ type: 'Order' }] }],
      [
        {
          ...GRANT,
          actions: ['refund'],
          resources: [
            { type: 'Order', id: '7' },
            { type: 'Order', id: '8' },
          ],
        },
      ],
      [{ ...GRANT, actions: ['refund'], arguments: { amount: { lte: 101 } } }],
      [{ ...GRANT, actions: ['refund'], arguments: { amount: { gte: 1 } } }],
      [small, { ...GRANT, actions: ['wire'] }],
    ])
      expect((await asking(details)()).error).toBe('authorization_pending')
  })

  it('needs as many as the tenant says, and never those who ask, are asked for or own an agent', async () => {
    const { asking, vote } = await createDesk({ escalate: 'finance', approvals: '2', sign_in: true })
    const wide = asking([{ ...GRANT, actions: ['wire'] }])
    const { task } = await wide()
    expect(await vote(task?.id, 'olga')).toMatchObject({ reason: 'self_approval' })
    expect(await vote(task?.id, 'dora')).toMatchObject({ reason: 'not_an_approver' })
    await vote(task?.id, 'fay')
    expect(await wide()).toMatchObject({ error: 'authorization_pending', task: { progress: { current_step: 2 } } })
    await vote(task?.id, 'finn')
    expect((await wide()).access_token).toBeDefined()
  })

  it.each<[string, (desk: Desk, task: string) => Promise<unknown>, string, string]>([
    ['rejects it', ({ vote }, task) => vote(task, 'fay', { vote: 'reject' }), 'access_denied', 'approval_denied'],
    ['does not answer in time', ({ later }, task) => later(task, 4 * 3_600_000), 'expired_token', 'approval_timeout'],
    [
      'approves it, and nobody comes for it',
      async ({ vote }, task) => {
        await vote(task, 'fay')
        clock.advance(3_600_000)
      },
      'expired_token',
      'approval_expired',
    ],
    [
      'takes the approval back',
      async ({ vote, world }, task) => {
        await vote(task, 'fay')
        const approver = { token: await world.token({ roles: ['approver'], user: { type: 'User', id: 'fay' } }) }
        await world.post(`/v1/escalations/${task}/revoke`, {}, approver)
      },
      'access_denied',
      'approval_revoked',
    ],
  ])('where a human %s, the same request is told so, and opens nothing', async (_, answer, error, reason) => {
    const desk = await createDesk()
    const now = Math.floor(clock.now() / 1000)
    // A token of another issuer that carries a grant: it lives longer than ours.
    const subject = await desk.world.agentToken('clerk', { exp: now + 40_000, authorization_details: [small] })
    const details = [{ ...GRANT, actions: ['wire'] }]
    const wide = async (): Promise<Answer> =>
      (await exchange(desk.world, { subject, agent: 'helper', details, jkt: desk.key.jkt })).json()
    const { task } = await wide()
    await answer(desk, task?.id ?? '')
    expect(await wide()).toMatchObject({ error, reason })
    expect(await wide()).toMatchObject({ error, reason })
  })

  it('is asked for once, also where the way to the humans broke off half-way', async () => {
    const { world, asking, vote } = await createDesk()
    const ESCALATION: Env['ESCALATION'] = new Proxy(env.ESCALATION, {
      get: () => () => {
        throw new Error('out of reach')
      },
    })
    const wide = asking([{ ...GRANT, actions: ['wire'] }])
    expect(await wide(createIsolate({}, { ESCALATION }).send)).toMatchObject({ error: 'temporarily_unavailable' })
    const { task } = await wide()
    await vote(task?.id, 'fay')
    expect((await wide()).access_token).toBeDefined()
    const kinds = (await world.receipts('clerk')).map(({ kind }) => kind)
    expect(kinds).toEqual(['delegation', 'delegation', 'escalation', 'delegation'])
  })

  it('is asked for no longer than the delegation lives that it comes from', async () => {
    const { world, asking } = await createDesk()
    const short = await delegate(world, await world.agentToken(), { details: [small], more: { expires_in: '600' } })
    const { task } = await asking([{ ...GRANT, actions: ['wire'] }], { of: short })()
    const state = await env.ESCALATION.getByName(nameOf('escalation', world.tenant, task?.id ?? '')).state()
    expect((state?.open.expiresAt ?? 0) - clock.now()).toBeLessThanOrEqual(600_000)
  })

  it('binds the approval to the key, the child, the terms and the parent (RFC 9449, 11.9)', async () => {
    const { world, parent, asking, vote } = await createDesk()
    const details = [{ ...GRANT, actions: ['wire'], arguments: { amount: { lte: 5 } } }]
    const { task } = await asking(details)()
    await vote(task?.id, 'fay')
    const thief = await holder()
    const other = await delegate(world, await world.agentToken(), { details: [small] })
    for (const attempt of [
      asking(details, { to: thief }),
      asking(details, { of: other }),
      asking([{ ...GRANT, actions: ['wire'], arguments: { amount: { lte: 6 } } }]),
      asking([{ ...GRANT, actions: ['wire'] }]),
      asking(details, { more: { expires_in: '60' } }),
      asking(details, { more: { agent: JSON.stringify({ type: 'Agent', id: 'clerk' }) } }),
    ]) {
      const answer = await attempt().catch(() => ({ error: 'refused' }) as Answer)
      expect(answer.access_token).toBeUndefined()
      if (answer.task) expect(answer.task.id).not.toBe(task?.id)
    }
    expect(parent.id).not.toBe(other.id)
    expect((await asking(details)()).access_token).toBeDefined()
  })

  it('is void under other terms of the tenant: they are asked anew', async () => {
    const { world, asking, vote } = await createDesk()
    const wide = asking([{ ...GRANT, actions: ['wire'] }])
    const { task } = await wide()
    await vote(task?.id, 'fay')
    const stricter = await world.push(bundle => {
      bundle.settings.exchange = { widening: { escalate: 'directors' } }
    })
    clock.advance(6_000)
    const by = { token: await world.agentToken() }
    const own = { ...refund(1), subject: { type: 'Agent', id: 'clerk' } }
    await expect.poll(async () => (await world.evaluate(own, by)).context.bundle).toBe(stricter.hash)
    const anew = await wide()
    expect(anew).toMatchObject({ error: 'authorization_pending' })
    expect(anew.task?.id).not.toBe(task?.id)
    expect(await vote(anew.task?.id, 'fay')).toMatchObject({ reason: 'not_an_approver' })
  })

  it('never reaches beyond policy, nor past what was taken away', async () => {
    const { world, asking, vote, held, parent } = await createDesk()
    const wide = asking([{ ...GRANT, actions: ['refund'], arguments: { amount: { lte: 20_000 } } }])
    const { task } = await wide()
    await vote(task?.id, 'fay')
    const child = held(await wide())
    expect((await ask(world, child, refund(600))).context.reason).toBe('approval_required')
    expect((await ask(world, child, refund(9_001))).context.reason).toBe('forbidden')
    const admin = { token: await world.token({ roles: ['admin'] }) }
    await world.post(`/v1/delegations/${parent.id}/revoke`, { reason: 'test' }, admin)
    expect(await outcome(world, child, refund(1))).toBe('revoked')
    expect(await asking([{ ...GRANT, actions: ['wire'] }])()).toMatchObject({
      error: 'invalid_grant',
      reason: 'revoked',
    })
  })

  it('moves what is counted and never adds to it', async () => {
    const { world, asking, vote, held } = await createDesk()
    const counted = await delegate(world, await world.agentToken(), { details: [{ ...small, uses: 3 }] })
    const details = [{ ...GRANT, actions: ['ship'], uses: 2 }]
    const wide = asking(details, { of: counted })
    const { task } = await wide()
    expect(await purseAt(world.object(), counted.id)).toMatchObject({ uses: 3 })
    await vote(task?.id, 'fay')
    held(await wide())
    expect(await purseAt(world.object(), counted.id)).toMatchObject({ uses: 1 })
    const more = asking([{ ...GRANT, actions: ['ship'], uses: 2 }], { of: counted, to: await holder() })
    const second = await more()
    await vote(second.task?.id, 'fay')
    expect(await more()).toMatchObject({ error: 'invalid_grant', reason: 'grant_exhausted' })
    // What could not be given is not used up.
    expect(await more()).toMatchObject({ reason: 'grant_exhausted' })
  })

  it('is no way to show a credential, nor to ask without the reason that the tenant wants', async () => {
    const { asking } = await createDesk({ escalate: 'finance', reason_required: 'requester' })
    const secret = [
      { ...GRANT, actions: ['refund'], arguments: { amount: { lte: 400 }, note: { eq: `ghp_${'a'.repeat(36)}` } } },
    ]
    const justified = { more: { justification: 'The parcel came back.' } }
    expect(await asking(secret, justified)()).toMatchObject({ reason: 'credential_refused' })
    expect(await asking([{ ...GRANT, actions: ['wire'] }])()).toMatchObject({ error: 'invalid_request' })
    expect(await asking([{ ...GRANT, actions: ['wire'] }], justified)()).toMatchObject({
      error: 'authorization_pending',
    })
  })

  it('shows the approver what is asked, what there is and what would be added, with what hides spelt out', async () => {
    const { world, parent, asking } = await createDesk()
    const wanted = { ...GRANT, actions: ['refund'], arguments: { amount: { lte: 400 }, note: { eq: 'a\u202eb' } } }
    const { task } = await asking([wanted], { more: { justification: 'Three parcels <b>came</b> back.' } })()
    const url = await linkUrl(
      await signer(env),
      world.identifier,
      { task: task?.id ?? '', approver: { type: 'User', id: 'fay' } },
      { id: 'x', at: clock.now(), until: clock.now() + 60_000 },
    )
    const page = await (await world.send('GET', url, undefined)).text()
    for (const text of [
      'What would be added',
      `To the grant <code>${parent.id}</code>`,
      '&quot;lte&quot;: 400',
      '&quot;lte&quot;: 100',
      'Agent::&quot;helper&quot;',
      'a⟨U+202E⟩b',
      'Three parcels &lt;b&gt;came&lt;/b&gt; back.',
      '&quot;escalate&quot;: &quot;finance&quot;',
    ])
      expect(page).toContain(text)
  })

  it('can be followed by whoever asked, and withdrawn', async () => {
    const { world, asking, parent } = await createDesk()
    const wide = asking([{ ...GRANT, actions: ['wire'] }])
    const { task } = await wide()
    const path = `/access/v1/requests/${task?.id}`
    const by = async (method: string, at: string) => ({
      headers: {
        authorization: `DPoP ${parent.token}`,
        dpop: await prove(parent.key, { method, url: world.identifier + at, now: clock.now(), token: parent.token }),
      },
    })
    const status = await world.send('GET', path, undefined, await by('GET', path))
    expect(await status.json()).toMatchObject({ task: { id: task?.id, status: 'pending' } })
    const stranger = await world.send('GET', path, undefined, { token: await world.agentToken('helper') })
    expect(stranger.status).toBe(404)
    await world.post(`${path}/cancel`, {}, await by('POST', `${path}/cancel`))
    await runDurableObjectAlarm(env.ESCALATION.getByName(nameOf('escalation', world.tenant, task?.id ?? '')))
    expect(await wide()).toMatchObject({ error: 'access_denied', reason: 'approval_cancelled' })
  })
})
