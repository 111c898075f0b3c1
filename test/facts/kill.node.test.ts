import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { countersign } from '../../examples/local.ts'
import { createLocal } from '../escalation/local.ts'

/**
 * The Worker's process is killed while a source's word is on its way from the ledger to the decision that waits for it,
 * and started again on the same state. `KILLS` says how often; without it, three times.
 */

const KILLS = Number(process.env.KILLS ?? '3')
const DELAYS_MS = [4, 12, 30, 8, 0, 20]

type Local = Awaited<ReturnType<typeof createLocal>>
let local: Local
beforeAll(async () => {
  local = await createLocal()
}, 240_000)
afterAll(() => local?.close(), 60_000)

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

type Decision = { decision: boolean; context: { evaluation_id: string; outcome: string; continues?: string } }

const credit = (id: string, context: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name: 'credit', properties: { amount: 5 } },
  resource: { type: 'Order', id },
  context,
})

it(
  'whoever waits is woken all the same, and once',
  async () => {
    const clerk = await local.token('--agent', 'Agent::"clerk"')
    const orders = await local.token('--role', 'source', '--source', 'orders')
    const auditor = await local.token('--role', 'auditor')
    const evaluate = async (ask: unknown) =>
      (await (await local.call('/access/v1/evaluation', clerk, ask)).json()) as Decision
    const woken: string[] = []
    let before = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const id = `o-${kill}`
      const { context: deferred } = await evaluate(credit(id))
      expect(deferred.outcome).toBe('defer')
      const fact = {
        entity: { type: 'Order', id },
        predicate: 'total',
        value: 90,
        observed_at: new Date().toISOString(),
      }
      const push = () => local.call('/v1/facts', orders, { facts: [fact] })
      const lost = push()
        .then(response => response.text())
        .catch(() => undefined)
      await sleep(DELAYS_MS[kill % DELAYS_MS.length] ?? 0)
      await local.restart()
      await lost

      const wait = `/v1/waits/Agent/clerk/${deferred.evaluation_id}`
      const state = async () => ((await (await local.call(wait, clerk)).json()) as { state: string }).state
      const history = await local.call(`/v1/facts?type=Order&id=${id}`, auditor)
      const { facts } = (await history.json()) as { facts: unknown[] }
      // What the ledger has is found, whether its word came through or not; what it hasn't is stated again.
      if (facts.length > 0) before++
      expect(await state()).toBe(facts.length > 0 ? 'ready' : 'open')
      expect((await push()).status).toBe(200)
      expect((await push()).status).toBe(200)
      expect(await state()).toBe('ready')
      const first = await evaluate(credit(id, { continues: deferred.evaluation_id }))
      const second = await evaluate(credit(id, { continues: deferred.evaluation_id }))
      expect([first.context.continues, second.context.continues]).toEqual([deferred.evaluation_id, undefined])
      // A word that comes late wakes nobody a second time.
      expect((await push()).status).toBe(200)
      expect(await state()).toBe('continued')
      woken.push(deferred.evaluation_id)
    }
    console.log(`${KILLS} kills; in ${before} the ledger had the fact when the process died`)
    expect(new Set(woken).size).toBe(KILLS)
  },
  60_000 + KILLS * 30_000,
)

it('what the CLI attests an agent can rely upon, and what was decided on it can be judged again', async () => {
  const file = join(tmpdir(), `facts-${crypto.randomUUID()}.json`)
  const about = { entity: { type: 'Order', id: 'attested' } }
  const stated = async (source: string, facts: unknown[]) => {
    await writeFile(file, JSON.stringify(facts))
    const where = ['--tenant', 'approving', '--origin', local.origin, '--source', source]
    return (await countersign('attest', file, ...where, '--agent', 'Agent::"clerk"')).trim()
  }
  const until = { valid_until: new Date(Date.now() + 3_600_000).toISOString() }
  const attestations = [
    await stated('orders', [
      { ...about, ...until, predicate: 'total', value: 90 },
      { ...about, ...until, predicate: 'remark', value: 'fine' },
    ]),
    await stated('bank', [{ ...about, ...until, predicate: 'chargeback', value: false }]),
  ]
  const clerk = await local.token('--agent', 'Agent::"clerk"')
  const asked = credit('attested', { attestations })
  const { decision, context } = (await (await local.call('/access/v1/evaluation', clerk, asked)).json()) as Decision
  expect([decision, context.outcome]).toEqual([true, 'allow'])
  const auditor = await local.token('--role', 'auditor')
  const options = ['--url', local.origin, '--tenant', 'approving', '--token', auditor]
  for (let tries = 0; ; tries++) {
    const { status } = await local.call(`/v1/decisions/${context.evaluation_id}`, auditor)
    if (status === 200) break
    if (tries > 100) throw new Error('the receipt did not come to D1')
    await sleep(200)
  }
  const said = await countersign('replay', context.evaluation_id, ...options)
  expect(said).toContain('the same')
  expect(said).toContain('orders, from an attestation: 90')
  const json = JSON.parse(await countersign('replay', context.evaluation_id, '--json', ...options))
  expect(json).toMatchObject({ same: true, recorded: { outcome: 'allow' }, again: { outcome: 'allow' } })
  await expect(countersign('replay', crypto.randomUUID(), ...options)).rejects.toThrow()
}, 120_000)
