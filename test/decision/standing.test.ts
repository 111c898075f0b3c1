import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, problemIn, refund, type World } from '../http/world.ts'
import { createIsolate } from './isolate.ts'

let world: World
let token: string
let admin: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  token = await world.agentToken()
  admin = await world.token({ sub: 'root', roles: ['admin'] })
})

const change = (what: 'suspend' | 'resume', id = 'clerk', body: unknown = { reason: 'odd refunds' }, by = admin) =>
  world.post(`/v1/agents/Agent/${id}/${what}`, body, { token: by })

describe('a suspended agent', () => {
  it('is denied by its next decision anywhere, before anything else is looked at', async () => {
    const isolates = [createIsolate(), createIsolate()]
    for (const { send } of isolates) expect((await world.evaluate(asking('read'), { token, send })).decision).toBe(true)
    const suspended = await change('suspend')
    expect(suspended.status).toBe(200)
    expect(await suspended.json()).toMatchObject({ suspended: true, changed: true })
    for (const { send } of isolates)
      for (const ask of [asking('read'), refund(501), refund('x'), asking('fly')])
        expect((await world.evaluate(ask, { token, send })).context).toMatchObject({
          outcome: 'deny',
          reason: 'suspended',
          recorded: true,
        })
    const pep = await world.pepToken()
    expect(brief(await world.evaluate(asking('read'), { token: pep }))).toBe('no: suspended')
  })

  it('is judged again once it is resumed, and both stand on its chain', async () => {
    await change('suspend')
    await world.evaluate(asking('read'), { token })
    await change('resume')
    expect((await world.evaluate(asking('read'), { token })).decision).toBe(true)
    expect((await world.receipts()).map(({ kind }) => kind)).toEqual([
      'suspension',
      'decision',
      'resumption',
      'decision',
    ])
  })

  it('others go on, in this tenant and under the same name in another', async () => {
    const other = await createWorld()
    await change('suspend')
    const pep = await world.pepToken()
    const helper = asking('read', { subject: { type: 'Agent', id: 'helper' } })
    expect((await world.evaluate(helper, { token: pep })).decision).toBe(true)
    expect((await other.evaluate(asking('read'), { token: await other.agentToken() })).decision).toBe(true)
  })

  it('takes nothing: what its limits held is there when it is resumed', async () => {
    await change('suspend')
    await world.evaluateAll({ ...asking('ping'), evaluations: [{}, {}, {}, {}] }, { token })
    await change('resume')
    const items = await world.evaluateAll({ ...asking('ping'), evaluations: [{}, {}, {}, {}] }, { token })
    expect(items.filter(item => item.decision)).toHaveLength(3)
  })
})

describe('suspending', () => {
  it('again changes nothing', async () => {
    await change('suspend')
    expect(await (await change('suspend')).json()).toMatchObject({ suspended: true, changed: false })
    expect(await world.receipts()).toHaveLength(1)
  })

  it('is for admins', async () => {
    for (const by of [token, await world.pepToken(), await world.token({ roles: ['auditor', 'approver'] })]) {
      const response = await change('suspend', 'clerk', { reason: 'x' }, by)
      expect(response.status).toBe(403)
      expect((await problemIn(response)).reason).toBe('forbidden_role')
    }
    expect((await world.evaluate(asking('read'), { token })).decision).toBe(true)
  })

  it.each([[{}], [{ reason: '' }], [{ reason: 5 }], [[]], [{ reason: 'x'.repeat(1_001) }]])(
    'asks for a reason: %j',
    async body => {
      expect((await problemIn(await change('suspend', 'clerk', body))).status).toBe(400)
    },
  )

  it('names the agent whatever its id is', async () => {
    for (const id of ['a/b', 'ä ö', '%', '"x"', '..', '.']) {
      const path = encodeURIComponent(id).replaceAll('.', '%2e')
      const response = await world.post(`/v1/agents/Agent/${path}/suspend`, { reason: 'r' }, { token: admin })
      // A path of dots alone is no path to an agent: a URL drops them.
      if (/^\.+$/.test(id)) expect([404, 405]).toContain(response.status)
      else {
        expect(response.status).toBe(200)
        expect(await world.object(id).status()).toMatchObject({ suspended: true })
      }
    }
  })

  it('a type that the bundle does not know makes no object', async () => {
    const response = await world.post('/v1/agents/Ghost/x/suspend', { reason: 'r' }, { token: admin })
    expect((await problemIn(response)).status).toBe(404)
    expect(await world.object('x', 'Ghost').status()).toBeUndefined()
  })
})
