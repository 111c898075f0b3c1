import * as v from 'valibot'
import { afterEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { problemIn as countersignProblem } from '../http/world.ts'
import { calm, outside } from '../outside.ts'
import { acting, createDesk, reasonIn, refund, submission, TaskAnswer, typeIn, withApproval } from './world.ts'

/**
 * The MUSTs of the AuthZEN Access Request and Approval Profile (draft 1, openid/authzen at e287920) that concern a PDP
 * and an access-request service, by section.
 */

afterEach(() => {
  clock.reset()
  calm()
})

const ERROR = 'urn:openid:authzen:access-request:error:'

describe('Discovery', () => {
  it('publishes access_request_endpoint and jwks_uri as https URLs, and the capability', async () => {
    const desk = await createDesk()
    const url = `https://pdp.example.com/.well-known/authzen-configuration/${desk.tenant}`
    const metadata = (await (await desk.send('GET', url, undefined)).json()) as Record<string, unknown>
    expect(metadata.access_request_endpoint).toBe(`${desk.identifier}/access/v1/requests`)
    expect(metadata.jwks_uri).toBe(`${desk.identifier}/.well-known/jwks.json`)
    expect(metadata.capabilities).toContain('urn:openid:authzen:capability:access-request')
    const jwks = (await (await desk.send('GET', String(metadata.jwks_uri), undefined)).json()) as { keys: unknown[] }
    for (const key of jwks.keys) expect(key).toMatchObject({ kid: expect.any(String), use: 'sig' })
  })
})

describe('Requestable Denial Context', () => {
  it('access_request comes with a denial that can be requested, expires, and carries an integrity-protected token', async () => {
    const desk = await createDesk()
    const { decision, context } = await desk.evaluate(refund(600))
    expect(decision).toBe(false)
    expect(context.permit).toBeUndefined()
    const { access_request: request } = context
    expect(request).toMatchObject({ endpoint: `${desk.identifier}/access/v1/requests`, template: 'finance' })
    expect(Date.parse(request?.expires_at ?? '')).toBeGreaterThan(clock.now())
    const [, payload = ''] = request?.binding_token.split('.') ?? []
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    expect(claims).toMatchObject({
      iss: desk.identifier,
      aud: desk.identifier,
      evaluation_id: context.evaluation_id,
      binding_context_members: [],
      exp: Date.parse(request?.expires_at ?? '') / 1000,
    })
  })

  it('access_request stands on no denial that is not requestable', async () => {
    const desk = await createDesk()
    for (const ask of [refund(9_001), acting('nothing', 1), refund(600, { resource: { type: 'Order', id: 'closed' } })])
      expect((await desk.evaluate(ask)).context.access_request).toBeUndefined()
  })

  it('evaluation_id is stable: a retry of the denied call has the same, and the same token', async () => {
    const desk = await createDesk()
    const sending = { token: desk.clerk, headers: { 'idempotency-key': 'same' } }
    const first = await desk.evaluateWith(refund(600), sending)
    expect(await desk.evaluateWith(refund(600), sending)).toEqual(first)
  })

  it('a retry under policies that no longer ask a human is no request', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    const { hash } = await desk.push(bundle => {
      const text = bundle.texts['refund-over-500']
      if (text) text.hash = 'another text'
    })
    clock.advance(6_000)
    await expect.poll(async () => (await desk.evaluate(refund(1))).context.bundle).toBe(hash)
    expect(await typeIn(await desk.request(submission(denial)))).toBe(`${ERROR}not_requestable`)
  })
})

describe('Machine-Readable Forms', () => {
  it('request_schema_url names what must be added, and a request without it is refused', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(acting('ship', 1))
    expect(denial.request.request_schema_url).toMatch(/^https:/)
    const schema = await desk.send('GET', denial.request.request_schema_url ?? '', undefined)
    expect(schema.headers.get('content-type')).toBe('application/schema+json')
    expect(await schema.json()).toMatchObject({ properties: { context: { required: ['business_justification'] } } })
    const bare = await desk.request(submission(denial))
    expect(await countersignProblem(bare)).toMatchObject({
      reason: 'malformed_request',
      pointer: '/context/business_justification',
    })
    const worded = { ...submission(denial), context: { business_justification: 'the customer waits' } }
    expect((await desk.request(worded)).status).toBe(202)
  })
})

describe('Access Request Submission', () => {
  it('returns a task that is opaque, unguessable and can be asked for', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    const response = await desk.request(submission(denial))
    expect(response.status).toBe(202)
    const { task } = v.parse(TaskAnswer, await response.json())
    expect(response.headers.get('location')).toBe(task.status_endpoint)
    expect(task.status).toBe('pending')
    expect(await desk.status(task.id)).toMatchObject({ task: { id: task.id, status: 'pending' } })
  })

  it('accepts evaluation_id alone, and compares with what was recorded', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    const body = submission(denial)
    const { binding_token: _, ...bare } = body.denial
    const other = { ...body, action: { name: 'refund', properties: { amount: 601 } }, denial: bare }
    expect(await typeIn(await desk.request(other))).toBe(`${ERROR}invalid_denial_binding`)
    expect((await desk.request({ ...body, denial: bare })).status).toBe(202)
  })

  it.each([
    ['the subject', { subject: { type: 'Agent', id: 'clerk', properties: { more: 1 } } }],
    ['the resource', { resource: { type: 'Order', id: '8' } }],
    ['a property of the resource', { resource: { type: 'Order', id: '7', properties: { status: 'open' } } }],
    ['the action', { action: { name: 'refund', properties: { amount: 900 } } }],
    ['null for what was absent', { action: { name: 'refund', properties: { amount: 600, note: null } } }],
  ])('a request that changes %s is refused', async (_, changed) => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    expect(await typeIn(await desk.request({ ...submission(denial), ...changed }))).toBe(
      `${ERROR}invalid_denial_binding`,
    )
  })

  it('the actor may move from the subject to client.actor, and a chain that the token does not prove is refused', async () => {
    const desk = await createDesk()
    const ask = refund(600, { subject: { type: 'Agent', id: 'clerk', properties: { act: { sub: 'clerk' } } } })
    const denial = await desk.denied(ask)
    const moved = { ...submission(denial), subject: { type: 'Agent', id: 'clerk', properties: {} } }
    const lied = { ...moved, client: { actor: { id: 'helper' } } }
    const nested = { ...moved, client: { actor: { id: 'clerk', act: { sub: 'boss' } } } }
    for (const body of [lied, nested]) expect(await reasonIn(await desk.request(body))).toBe('unverified_actor')
    expect((await desk.request({ ...moved, client: { actor: { id: 'clerk' } } })).status).toBe(202)
  })

  it('authorization-relevant context binds, and only that', async () => {
    const desk = await createDesk()
    const pep = await desk.pepToken()
    const ask = refund(600, { context: { channel: 'mail', ip: '192.0.2.1', time: 'now' } })
    const denial = await desk.denied(ask, pep)
    const body = submission(denial)
    const changed = { ...body, context: { channel: 'phone' } }
    expect(await typeIn(await desk.request(changed, { token: pep }))).toBe(`${ERROR}invalid_denial_binding`)
    const augmented = { ...body, context: { channel: 'mail', time: 'later', business_justification: 'please' } }
    expect((await desk.request(augmented, { token: pep })).status).toBe(202)
  })

  it('binding material that is missing, forged or of another tenant is refused', async () => {
    const desk = await createDesk()
    const other = await createDesk()
    const denial = await desk.denied(refund(600))
    const body = submission(denial)
    const elsewhere = await other.denied(refund(600))
    for (const changes of [
      { evaluation_id: undefined, binding_token: undefined },
      { evaluation_id: undefined, binding_token: `${body.denial.binding_token.slice(0, -6)}AAAAAA` },
      { evaluation_id: crypto.randomUUID() },
      { evaluation_id: undefined, binding_token: elsewhere.request.binding_token },
      { evaluation_id: undefined, binding_token: desk.clerk },
      { expires_at: new Date(Date.parse(body.denial.expires_at) - 5_000).toISOString() },
    ]) {
      const response = await desk.request({ ...body, denial: { ...body.denial, ...changes } })
      expect(response.status).toBe(400)
      expect(await typeIn(response)).toBe(`${ERROR}invalid_denial_binding`)
    }
  })

  it('a token of a denial that names another evaluation is refused', async () => {
    const desk = await createDesk()
    const [one, two] = [await desk.denied(refund(600)), await desk.denied(refund(600))]
    const body = submission(one)
    const mixed = { ...body, denial: { ...body.denial, evaluation_id: two.evaluation } }
    expect(await typeIn(await desk.request(mixed))).toBe(`${ERROR}invalid_denial_binding`)
  })

  it('expired denials are refused, whatever the requester echoes', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    const body = submission(denial)
    clock.advance(10 * 60_000 + 31_000)
    const later = { ...body, denial: { ...body.denial, expires_at: new Date(clock.now() + 60_000).toISOString() } }
    const { binding_token: _, ...bare } = later.denial
    for (const sent of [body, later, { ...later, denial: bare }]) {
      const response = await desk.request(sent)
      expect(response.status).toBe(410)
      expect(await typeIn(response)).toBe(`${ERROR}expired_denial`)
    }
  })

  it('an evaluation that was no requestable denial is refused as such', async () => {
    const desk = await createDesk()
    const { context } = await desk.evaluate(refund(100))
    const object = desk.object()
    await expect
      .poll(
        async () => {
          clock.advance(2_000)
          await object.status()
          const denial = {
            evaluation_id: context.evaluation_id,
            expires_at: new Date(clock.now() + 60_000).toISOString(),
          }
          return typeIn(await desk.request({ ...refund(100), denial }, { token: await desk.agent() }))
        },
        { timeout: 10_000 },
      )
      .toBe(`${ERROR}not_requestable`)
  })

  it('Idempotency-Key: the same body gets the same task, another body is refused', async () => {
    const desk = await createDesk()
    const [one, two] = [await desk.denied(refund(600)), await desk.denied(refund(700))]
    const headers = { 'idempotency-key': 'once' }
    const first = v.parse(TaskAnswer, await (await desk.request(submission(one), { headers })).json())
    const again = v.parse(TaskAnswer, await (await desk.request(submission(one), { headers })).json())
    expect(again.task.id).toBe(first.task.id)
    const other = await desk.request(submission(two), { headers })
    expect(other.status).toBe(409)
    expect(await typeIn(other)).toBe(`${ERROR}duplicate_request`)
    // Keys are the requester's own.
    const helper = await desk.agent('helper')
    const hers = await desk.denied(refund(700, { subject: { type: 'Agent', id: 'helper' } }), helper)
    expect((await desk.request(submission(hers), { headers, token: helper })).status).toBe(202)
    // The window of the denial has passed, and a late retry still finds its task.
    clock.advance(3_600_000)
    const late = await desk.request(submission(one), { headers, token: await desk.agent() })
    expect(v.parse(TaskAnswer, await late.json()).task.id).toBe(first.task.id)
  })

  it('one denial has one task, however often it is requested', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    const answers = await Promise.all(Array.from({ length: 20 }, () => desk.request(submission(denial))))
    const ids = await Promise.all(answers.map(async one => v.parse(TaskAnswer, await one.json()).task.id))
    expect(new Set(ids).size).toBe(1)
  })

  it('requested_until bounds the approval', async () => {
    const desk = await createDesk()
    const until = new Date(Math.ceil((clock.now() + 600_000) / 1000) * 1000).toISOString()
    const { task } = await desk.requested(refund(600), { requested_access: { requested_until: until } })
    await desk.vote(task, 'fay')
    expect((await desk.status(task)).result?.approval.approved_until).toBe(until)
  })
})

describe('Task Status Endpoint', () => {
  it('is for who is authorized for the subject and the action alone; a leaked handle is of no use', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(refund(600))
    const stranger = await desk.agent('helper')
    const forAnother = await desk.agent('clerk', { user: { type: 'User', id: 'finn' } })
    for (const token of [stranger, forAnother]) {
      const response = await desk.send('GET', `/access/v1/requests/${task}`, undefined, { token })
      expect(response.status).toBe(404)
      expect(await typeIn(response)).toBe(`${ERROR}unknown_task`)
    }
    expect((await desk.send('GET', `/access/v1/requests/${task}`, undefined)).status).toBe(401)
    // Another instance with another token, and the gateway.
    expect((await desk.status(task, await desk.agent('clerk', { sid: 's2' }))).task.id).toBe(task)
    expect((await desk.status(task, await desk.pepToken())).task.id).toBe(task)
  })

  it('who may only look gets no enforceable result', async () => {
    const desk = await createDesk()
    const { task } = await desk.approved(refund(600))
    const auditor = await desk.token({ roles: ['auditor'] })
    const seen = await desk.status(task, auditor)
    expect(seen.task.status).toBe('approved')
    expect(seen.result).toBeUndefined()
  })

  it('does not say who the approvers are', async () => {
    const desk = await createDesk()
    const { task } = await desk.approved(refund(600))
    const text = JSON.stringify(await desk.status(task))
    expect(text).not.toContain('fay')
    expect(text).not.toContain('refund-over-500')
  })

  it('an approved task has a result, of mode reevaluate, with an approval that lapses', async () => {
    const desk = await createDesk()
    const { approval } = await desk.approved(refund(600))
    expect(Date.parse(approval.approved_until)).toBe(Date.parse(approval.approved_at) + 3_600_000)
  })

  it('a task goes from pending to one end, and no further', async () => {
    const desk = await createDesk()
    const { task } = await desk.approved(refund(600))
    expect((await desk.vote(task, 'finn', { vote: 'reject' })).status).toBe(409)
    expect(
      (await desk.send('POST', `/access/v1/requests/${task}/cancel`, undefined, { token: desk.clerk })).status,
    ).toBe(409)
    await desk.later(task, 5 * 3_600_000)
    expect((await desk.status(task, await desk.agent())).task.status).toBe('approved')
  })

  it('an unknown task and one that is over and gone are told apart', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(refund(600))
    await desk.vote(task, 'fay', { vote: 'reject' })
    const unknown = await desk.send('GET', `/access/v1/requests/${'a'.repeat(43)}`, undefined, { token: desk.clerk })
    expect([unknown.status, await typeIn(unknown)]).toEqual([404, `${ERROR}unknown_task`])
    clock.advance(25 * 3_600_000)
    const gone = await desk.send('GET', `/access/v1/requests/${task}`, undefined, { token: await desk.agent() })
    expect([gone.status, await typeIn(gone)]).toEqual([410, `${ERROR}task_expired`])
  })

  it('expires: nobody answered, so it is a denial that names the evaluation', async () => {
    const desk = await createDesk()
    const { task, evaluation } = await desk.requested(refund(600))
    await desk.later(task, 4 * 3_600_000 + 1)
    expect((await desk.status(task, await desk.agent())).task.status).toBe('expired')
    await desk.later(task, 1_000)
    const receipts = await desk.receipts()
    expect(JSON.parse(receipts.at(-1)?.body ?? '').escalation).toMatchObject({
      status: 'expired',
      outcome: 'deny',
      reason: 'approval_timeout',
      evaluation_id: evaluation,
    })
    expect(await reasonIn(await desk.vote(task, 'fay'))).toBe('already_decided')
  })
})

describe('Cancellation', () => {
  it('links.cancel cancels a pending task; one that is over is a conflict', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(refund(600))
    const { links } = (await desk.status(task)).task
    const cancelled = await desk.post(links?.cancel ?? '', { reason: 'changed_mind' }, { token: desk.clerk })
    expect(cancelled.status).toBe(200)
    expect(v.parse(TaskAnswer, await cancelled.json()).task.status).toBe('cancelled')
    for (const method of ['POST', 'DELETE']) {
      const again = await desk.send(method, links?.cancel ?? '', undefined, { token: desk.clerk })
      expect([again.status, await typeIn(again)]).toEqual([409, `${ERROR}invalid_task_state`])
    }
    expect(await reasonIn(await desk.vote(task, 'fay'))).toBe('already_decided')
  })

  it('is for who is authorized for the action: another agent is not, an approver neither', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(refund(600))
    const path = `/access/v1/requests/${task}/cancel`
    expect((await desk.send('POST', path, undefined, { token: await desk.agent('helper') })).status).toBe(404)
    expect((await desk.send('POST', path, undefined, { token: await desk.approver('fay') })).status).toBe(403)
    expect((await desk.status(task)).task.status).toBe('pending')
  })
})

describe('Completion Semantics', () => {
  it('does not authorize by a known id: caller, subject, resource, action, scope and time must fit', async () => {
    const desk = await createDesk()
    const { approval } = await desk.approved(refund(600))
    const helper = await desk.agent('helper')
    const asks: [Record<string, unknown>, string][] = [
      [refund(601), desk.clerk],
      [refund(600, { resource: { type: 'Order', id: '9' } }), desk.clerk],
      [refund(600, { subject: { type: 'Agent', id: 'helper' } }), helper],
      [acting('wire', 600), desk.clerk],
    ]
    for (const [ask, token] of asks)
      expect((await desk.evaluate(withApproval(ask, approval), token)).decision).toBe(false)
  })

  it('exact match covers whole objects, properties too, less the actor', async () => {
    const desk = await createDesk()
    const pep = await desk.pepToken()
    const resource = { type: 'Order', id: '7', properties: { status: 'open' } }
    const ask = refund(600, { resource, context: { channel: 'mail' } })
    const waiting = await desk.requested(ask, {}, pep)
    await desk.vote(waiting.task, 'fay')
    const { result } = await desk.status(waiting.task, pep)
    const again = (changes: Record<string, unknown>) =>
      desk.evaluate(withApproval({ ...ask, ...changes }, result?.approval), pep)
    for (const changes of [
      { resource: { ...resource, properties: { status: 'new' } } },
      { resource: { type: 'Order', id: '7' } },
      { context: { channel: 'phone' } },
    ])
      expect((await again(changes)).context.reason).toBe('approval_mismatch')
    expect((await again({ context: { channel: 'mail', ip: '192.0.2.7' } })).decision).toBe(true)
  })

  it('a denial tells a PEP that presented an approval what to do next', async () => {
    const desk = await createDesk()
    const { approval } = await desk.approved(acting('ship', 1), ['fay']).catch(async () => {
      const { task } = await desk.requested(acting('ship', 1), { context: { business_justification: 'x' } })
      await desk.vote(task, 'fay')
      return { approval: (await desk.status(task)).result?.approval }
    })
    const closed = acting('ship', 1, { resource: { type: 'Order', id: 'closed' } })
    expect((await desk.evaluate(withApproval(closed, approval))).context).toMatchObject({
      reason: 'forbidden',
      next_action: 'none',
    })
    const request = await desk.evaluate(withApproval(acting('ship', 2), approval))
    expect(request.context).toMatchObject({ next_action: 'request', access_request: {} })
    expect((await desk.evaluate(acting('ship', 2))).context.next_action).toBeUndefined()
  })

  it('approval.state is a JWS of ours, for us, of that approval', async () => {
    const desk = await createDesk()
    const { approval, task, evaluation } = await desk.approved(refund(600))
    const [header = '', payload = ''] = approval.state.split('.')
    const part = (text: string) => JSON.parse(atob(text.replaceAll('-', '+').replaceAll('_', '/')))
    expect(part(header)).toMatchObject({ typ: 'approval+jwt', kid: expect.any(String) })
    expect(part(payload)).toMatchObject({
      iss: desk.identifier,
      aud: desk.identifier,
      approval_id: approval.id,
      task,
      evaluation_id: evaluation,
    })
  })
})

describe('Callback Completion', () => {
  const secretOf = async (desk: Awaited<ReturnType<typeof createDesk>>, webhook: string) => {
    const admin = await desk.token({ roles: ['admin'] })
    const response = await desk.post(`/v1/webhooks/${webhook}/secrets`, {}, { token: admin })
    return ((await response.json()) as { secret: string }).secret
  }

  it('goes only to an endpoint that the tenant registered', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    for (const endpoint of ['https://evil.example/', 'http://127.0.0.1/', 'https://gateway.example/other']) {
      const response = await desk.request({ ...submission(denial), callback: { endpoint } })
      expect(await reasonIn(response)).toBe('callback_refused')
    }
  })

  it('carries the task and the state, is authenticated, and is no result', async () => {
    const desk = await createDesk()
    await secretOf(desk, 'gateway')
    const callback = { endpoint: 'https://gateway.example/callbacks', state: 'opaque' }
    const { task } = await desk.requested(refund(600), { callback })
    await desk.vote(task, 'fay')
    await desk.later(task, 1_000)
    const sent = () => outside.received.filter(({ url }) => url.startsWith('https://gateway.example'))
    await expect.poll(() => sent().length).toBe(1)
    expect(JSON.parse(sent()[0]?.body ?? '')).toEqual({
      state: 'opaque',
      task: { id: task, status: 'approved', status_endpoint: `${desk.identifier}/access/v1/requests/${task}` },
    })
    expect(sent()[0]?.headers.get('webhook-signature')).toMatch(/^v1,/)
  })

  it('only for the events that were asked for', async () => {
    const desk = await createDesk()
    await secretOf(desk, 'gateway')
    const callback = { endpoint: 'https://gateway.example/callbacks', events: ['denied'] }
    const { task } = await desk.requested(refund(600), { callback })
    await desk.vote(task, 'fay')
    await desk.later(task, 1_000)
    expect(outside.received.filter(({ url }) => url.startsWith('https://gateway.example'))).toEqual([])
  })
})

describe('Access Request Service Processing Rules', () => {
  it('authenticates and authorizes who sends a request', async () => {
    const desk = await createDesk()
    const denial = await desk.denied(refund(600))
    expect((await desk.post('/access/v1/requests', submission(denial))).status).toBe(401)
    expect((await desk.request(submission(denial), { token: await desk.approver('fay') })).status).toBe(403)
    expect((await desk.request(submission(denial), { token: await desk.agent('helper') })).status).toBe(403)
  })

  it('a workflow step by who is not eligible is no approval', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(refund(600))
    const reasons = await Promise.all(
      ['nobody', 'dora', 'uma', 'olga'].map(async who => reasonIn(await desk.vote(task, who))),
    )
    expect(reasons).toEqual(['not_an_approver', 'not_an_approver', 'self_approval', 'self_approval'])
    expect((await desk.status(task)).task.status).toBe('pending')
  })

  it('is not approved before the workflow is complete', async () => {
    const desk = await createDesk()
    const { task } = await desk.requested(acting('wire', 1))
    await desk.vote(task, 'fay')
    expect((await desk.vote(task, 'fay')).status).toBe(200)
    expect((await desk.status(task)).task).toMatchObject({ status: 'pending', progress: { current_step: 2 } })
    await desk.vote(task, 'finn')
    expect((await desk.status(task)).task.status).toBe('approved')
  })
})

it('Error Responses are problem documents of the types that the profile defines', async () => {
  const desk = await createDesk()
  const denial = await desk.denied(refund(600))
  const response = await desk.request({ ...submission(denial), denial: { expires_at: denial.request.expires_at } })
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(await response.json()).toMatchObject({ type: `${ERROR}invalid_denial_binding`, status: 400 })
})
