import { afterEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { createDesk, type Desk, reasonIn, refund, submission, typeIn, withApproval } from './world.ts'

/** Bundled requests (AuthZEN Access Request and Approval Profile: Access Request Submission, `items`). */

afterEach(() => {
  clock.reset()
  calm()
})

const ERROR = 'urn:openid:authzen:access-request:error:'

type Item = { status: string; result?: { mode: string; approval: unknown }; action: unknown; resource: unknown }
type Bundle = { task: { id: string; status: string; items: Item[]; links?: { cancel: string } }; result?: unknown }

const bundled = async (desk: Desk, ...amounts: number[]) => {
  const denials = []
  for (const amount of amounts) denials.push(submission(await desk.denied(refund(amount))))
  const [first] = denials
  if (!first) throw new Error('nothing was asked for')
  const items = denials.map(({ denial, ...ask }) => {
    const { action, resource } = ask as Record<string, unknown>
    return { action, resource, denial }
  })
  return { subject: { type: 'Agent', id: 'clerk' }, items }
}

const requested = async (desk: Desk, body: unknown): Promise<Bundle> => {
  const response = await desk.request(body)
  expect(response.status).toBe(202)
  return response.json()
}

const seen = async (desk: Desk, task: string): Promise<Bundle> =>
  (await desk.send('GET', `/access/v1/requests/${task}`, undefined, { token: desk.clerk })).json()

/** The tasks of its items, which approvers answer. */
const tasksOf = async (desk: Desk, body: Awaited<ReturnType<typeof bundled>>): Promise<string[]> =>
  Promise.all(
    body.items.map(async item => {
      const response = await desk.request({ subject: body.subject, ...item })
      return ((await response.json()) as { task: { id: string } }).task.id
    }),
  )

describe('a bundle', () => {
  it('has each item in its place, pending until all are over, and results at the items alone', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const { task } = await requested(desk, body)
    expect(task.items.map(({ status }) => status)).toEqual(['pending', 'pending'])
    expect(task.items.map(({ action }) => action)).toEqual(body.items.map(({ action }) => action))
    const [one = '', two = ''] = await tasksOf(desk, body)
    await desk.vote(one, 'fay')
    expect((await seen(desk, task.id)).task).toMatchObject({ status: 'pending', items: [{ status: 'approved' }, {}] })
    await desk.vote(two, 'fay')
    const over = await seen(desk, task.id)
    expect(over.task.status).toBe('approved')
    expect(over.result).toBeUndefined()
    // Each result is for its own item.
    const [first, second] = over.task.items
    expect((await desk.evaluate(withApproval(refund(600), second?.result?.approval))).decision).toBe(false)
    expect((await desk.evaluate(withApproval(refund(600), first?.result?.approval))).decision).toBe(true)
    expect((await desk.evaluate(withApproval(refund(700), second?.result?.approval))).decision).toBe(true)
  })

  it('is partial where its items end differently, and only what was approved has a result', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const { task } = await requested(desk, body)
    const [one = '', two = ''] = await tasksOf(desk, body)
    await desk.vote(one, 'fay')
    await desk.vote(two, 'fay', { vote: 'reject' })
    const over = await seen(desk, task.id)
    expect(over.task.status).toBe('partial')
    expect(over.task.items.map(({ status, result }) => [status, result?.mode])).toEqual([
      ['approved', 'reevaluate'],
      ['denied', undefined],
    ])
  })

  it('holds its answer back until an item of it is over, and says when to come again otherwise', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const { task } = await requested(desk, body)
    const [one = '', two = ''] = await tasksOf(desk, body)
    const path = `/access/v1/requests/${task.id}`
    const now = await desk.send('GET', path, undefined, { token: desk.clerk })
    expect(now.headers.get('retry-after')).toBe('5')
    for (const [item, status] of [
      [one, 'pending'],
      [two, 'approved'],
    ] as const) {
      const waiting = desk.send('GET', `${path}?wait=25`, undefined, { token: desk.clerk })
      const first = await Promise.race([waiting, scheduler.wait(300).then(() => 'it waits')])
      expect(first).toBe('it waits')
      await desk.vote(item, 'fay')
      const answer = await waiting
      expect(answer.headers.get('retry-after')).toBeNull()
      expect(((await answer.json()) as Bundle).task.status).toBe(status)
    }
    // what is over has nothing to wait for
    expect((await desk.send('GET', `${path}?wait=25`, undefined, { token: desk.clerk })).status).toBe(200)
  })

  it('is listed whole, page by page, although its items were opened in one moment', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700, 800)
    await requested(desk, body)
    const tasks = await tasksOf(desk, body)
    for (const task of tasks) await desk.later(task, 10)
    const token = await desk.token({ roles: ['admin'] })
    const seen: string[] = []
    let query = '?limit=1'
    for (let pages = 0; pages < 5 && query !== ''; pages++) {
      const response = await desk.send('GET', `/v1/escalations${query}`, undefined, { token })
      const page: { escalations: { task: string }[]; next_before?: string } = await response.json()
      seen.push(...page.escalations.map(({ task }) => task))
      query = page.next_before === undefined ? '' : `?limit=1&before=${encodeURIComponent(page.next_before)}`
    }
    expect(seen.toSorted()).toEqual(tasks.toSorted())
  })

  it('points to where it is wrong: at an item, or at what all of them share', async () => {
    const desk = await createDesk()
    const { subject, items } = await bundled(desk, 600, 700)
    const pointerOf = async (wrong: object) => (await (await desk.request(wrong)).json<{ pointer: string }>()).pointer
    expect(await pointerOf({ items })).toBe('/subject')
    expect(await pointerOf({ items: items.map(item => ({ ...item, subject })) })).toBe('/subject')
    expect(await pointerOf({ subject, items, context: [] })).toBe('/context')
    const [one, two] = items
    expect(await pointerOf({ subject, items: [one, { ...two, action: {} }] })).toBe('/items/1/action/name')
    expect(await pointerOf({ subject, items: [one, { ...two, denial: { expires_at: 1 } }] })).toBe(
      '/items/1/denial/expires_at',
    )
  })

  it('is refused whole where one item is not covered by its denial', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const [one, two] = body.items
    const swapped = { ...body, items: [one, { ...two, denial: one?.denial }] }
    const bare = { ...body, items: [one, { action: two?.action, resource: two?.resource }] }
    const covered = { ...bare, denial: one?.denial }
    for (const wrong of [swapped, bare, covered])
      expect(await typeIn(await desk.request(wrong))).toBe(`${ERROR}invalid_denial_binding`)
    for (const beside of [{ resource: one?.resource }, { action: one?.action }])
      expect(await reasonIn(await desk.request({ ...body, ...beside }))).toBe('malformed_request')
  })

  it('is cancelled as far as it still waits, and then no more', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const { task } = await requested(desk, body)
    const [one = ''] = await tasksOf(desk, body)
    await desk.vote(one, 'fay')
    const cancelled = await desk.send('POST', task.links?.cancel ?? '', undefined, { token: desk.clerk })
    expect(((await cancelled.json()) as Bundle).task).toMatchObject({
      status: 'partial',
      items: [{ status: 'approved' }, { status: 'cancelled' }],
    })
    const again = await desk.send('POST', task.links?.cancel ?? '', undefined, { token: desk.clerk })
    expect([again.status, await typeIn(again)]).toEqual([409, `${ERROR}invalid_task_state`])
  })

  it('is one for one key, and none of anybody else’s business', async () => {
    const desk = await createDesk()
    const body = await bundled(desk, 600, 700)
    const sending = { headers: { 'idempotency-key': 'bundle' } }
    const [first, again] = await Promise.all([1, 2].map(async () => (await desk.request(body, sending)).json<Bundle>()))
    expect(first?.task.id).toBe(again?.task.id)
    const stranger = { token: await desk.agent('helper') }
    const response = await desk.send('GET', `/access/v1/requests/${first?.task.id}`, undefined, stranger)
    expect(await typeIn(response)).toBe(`${ERROR}unknown_task`)
    const other = await desk.request(await bundled(desk, 600), sending)
    expect(await typeIn(other)).toBe(`${ERROR}duplicate_request`)
  })
})
