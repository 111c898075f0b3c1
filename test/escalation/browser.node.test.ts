import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import * as v from 'valibot'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLocal } from './local.ts'

/** The approver's page in a real browser, from the webhook that brings the link to the permit that comes of it. */

const CHROMIUM = '/usr/bin/chromium'
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
/** Where the pictures in docs/ come from; otherwise they go nowhere. */
const pictures = process.env.PICTURES

type Local = Awaited<ReturnType<typeof createLocal>>
let local: Local
let context: BrowserContext
let profile: string

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) return
  local = await createLocal()
  await local.call('/v1/webhooks/fay/secrets', await local.token('--role', 'admin'), {})
  profile = await mkdtemp(join(tmpdir(), 'countersign-chromium-'))
  context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS })
}, 240_000)

afterAll(async () => {
  await context?.close()
  await local?.close()
  if (profile) await rm(profile, { recursive: true, force: true })
}, 60_000)

const ask = (amount: number, note?: string) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name: 'refund', properties: { amount, ...(note !== undefined && { note }) } },
  resource: { type: 'Order', id: '7' },
})

/** Denied, and requested; the task. */
const requested = async (token: string, asked: Record<string, unknown>, justification?: string): Promise<string> => {
  const { context: denied } = (await (await local.call('/access/v1/evaluation', token, asked)).json()) as {
    context: { evaluation_id: string; access_request: { expires_at: string; binding_token: string } }
  }
  const { expires_at, binding_token } = denied.access_request
  const response = await local.call('/access/v1/requests', token, {
    ...asked,
    ...(justification !== undefined && { context: { business_justification: justification } }),
    denial: { evaluation_id: denied.evaluation_id, expires_at, binding_token },
  })
  expect(response.status).toBe(202)
  const { task } = (await response.json()) as { task: { id: string } }
  return task.id
}

const until = async <T>(work: () => Promise<T | undefined> | T | undefined): Promise<T> => {
  for (let tries = 0; tries < 300; tries++) {
    const found = await work()
    if (found !== undefined) return found
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error('it did not come')
}

const serious = async (page: Page): Promise<string[]> => {
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  // The page lets no script in; the browser's own hand does not ask it.
  await page.evaluate(axe)
  const { violations } = v.parse(Axe, await page.evaluate('axe.run()'))
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)
}

const Axe = v.object({
  violations: v.array(
    v.object({ id: v.string(), impact: v.nullish(v.string()), nodes: v.array(v.object({ html: v.string() })) }),
  ),
})

const picture = async (page: Page, name: string): Promise<void> => {
  if (pictures === undefined) return
  await mkdir(pictures, { recursive: true })
  await page.screenshot({ path: join(pictures, name), fullPage: true })
}

it.skipIf(!existsSync(CHROMIUM))(
  'from the webhook to the permit, on a phone and by keyboard, and axe finds nothing serious',
  async () => {
    const clerk = await local.token('--agent', 'Agent::"clerk"', '--user', 'User::"uma"', '--session', 's1')
    await local.call('/access/v1/evaluation', clerk, ask(120))
    const asked = ask(600, 'customer returned the parcel\u202e </pre><script>document.title="owned"</script>')
    const task = await requested(clerk, asked, 'The parcel came back yesterday.')
    const message = await until(() => local.receiver.messages.find(({ path }) => path === '/fay'))
    const { link } = JSON.parse(message.body).data

    const page = await context.newPage()
    const problems: string[] = []
    page.on('pageerror', error => problems.push(error.message))
    page.on('console', entry => entry.type() === 'error' && problems.push(entry.text()))

    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto(link)
    expect(await page.title()).toBe('Request for approval · Countersign')
    expect(await serious(page)).toEqual([])
    await picture(page, 'approval-phone.png')
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    expect(overflow).toBe(0)
    expect(await page.getByText('Written by the agent').isVisible()).toBe(true)
    expect(await page.getByText('⟨U+202E⟩').first().isVisible()).toBe(true)

    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await serious(page)).toEqual([])
    await page.emulateMedia({ colorScheme: 'light' })
    await page.setViewportSize({ width: 1100, height: 900 })
    await picture(page, 'approval-desktop.png')

    // A screen reader's way: landmarks, headings and names.
    expect(await page.getByRole('main').count()).toBe(1)
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1)
    await page.getByLabel(/How often/).press('Enter')
    await page.getByRole('textbox', { name: /Reason/ }).focus()
    await page.keyboard.type('seen in the warehouse')
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.value')).toBe('approve')
    await Promise.all([page.waitForLoadState('load'), page.keyboard.press('Enter')])
    await page.getByRole('heading', { name: 'Approved' }).waitFor()
    expect(await serious(page)).toEqual([])
    await picture(page, 'approval-done.png')
    expect(problems).toEqual([])

    const { result } = (await (await local.call(`/access/v1/requests/${task}`, clerk)).json()) as {
      result: { approval: unknown }
    }
    const passed = await local.call('/access/v1/evaluation', clerk, {
      ...asked,
      context: { approval: result.approval },
    })
    const { decision, context: allowed } = (await passed.json()) as { decision: boolean; context: { permit: string } }
    expect(decision).toBe(true)
    expect(allowed.permit).toMatch(/^eyJ/)
  },
  180_000,
)

it.skipIf(!existsSync(CHROMIUM))(
  'a fact whose text is hostile stays in its own box, and misleads nobody',
  async () => {
    const clerk = await local.token('--agent', 'Agent::"clerk"', '--user', 'User::"uma"', '--session', 's2')
    const source = await local.token('--role', 'source', '--source', 'orders')
    const hostile =
      '</pre></section></main><h1>Approved by finance</h1><script>document.title="owned"</script>' +
      '<style>.reject{display:none}</style><form><button name="vote" value="approve">Reject</button></form>' +
      `\u202eyfirev\u202c\u2066\u200b\u00ad ${'\u0301'.repeat(300)}${'\n'.repeat(200)}${'W'.repeat(8_000)} end`
    const order = { type: 'Order', id: '7' }
    const observed_at = new Date(Date.now() - 60_000).toISOString()
    const pushed = await local.call('/v1/facts', source, {
      facts: [
        { entity: order, predicate: 'total', value: 90, observed_at },
        { entity: order, predicate: 'remark', value: hostile, observed_at },
      ],
    })
    expect(pushed.status).toBe(200)
    const asked = {
      subject: { type: 'Agent', id: 'clerk' },
      action: { name: 'credit', properties: { amount: 600 } },
      resource: order,
      context: { claims: { orderTotal: 900 } },
    }
    const before = local.receiver.messages.length
    await requested(clerk, asked)
    const message = await until(() => local.receiver.messages.slice(before).find(({ path }) => path === '/fay'))
    const page = await context.newPage()
    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto(JSON.parse(message.body).data.link)

    expect(await page.title()).toBe('Request for approval · Countersign')
    expect(await page.getByRole('heading', { level: 1 }).allTextContents()).toEqual(['An agent asks for approval'])
    const facts = page.getByRole('region', { name: 'What is known' })
    expect(await facts.getByRole('heading', { level: 3 }).allInnerTexts()).toEqual([
      'chargeback of Order::"7": missing',
      'orderTotal of Order::"7": contradicted',
      'remark of Order::"7": known',
    ])
    expect(await facts.getByText('The agent says', { exact: true }).locator('..').locator('pre').textContent()).toBe(
      '900',
    )
    expect(await facts.getByText('Source orders says').first().locator('..').locator('pre').textContent()).toBe('90')
    // The text is all there, as text, and turns nothing around.
    const shown = (await facts.locator('pre').last().textContent()) ?? ''
    expect(shown).toContain('<h1>Approved by finance</h1>')
    expect(shown).toContain('⟨U+202E⟩yfirev⟨U+202C⟩⟨U+2066⟩⟨U+200B⟩⟨U+00AD⟩')
    expect(shown.endsWith(' end"')).toBe(true)
    expect(await page.content()).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u200b]/)
    const box = await facts.locator('pre').last().boundingBox()
    expect(box?.height).toBeLessThan(250)
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    expect(overflow).toBe(0)
    // One form, two buttons that say what they do, both of them ours.
    expect(await page.locator('form').count()).toBe(1)
    expect(await page.getByRole('button').allInnerTexts()).toEqual(['Approve', 'Reject'])
    expect(await page.getByRole('button', { name: 'Reject' }).isVisible()).toBe(true)
    expect(await serious(page)).toEqual([])
    await picture(page, 'approval-facts.png')

    // The source says something else while the page is open.
    await local.call('/v1/facts', source, {
      facts: [{ entity: order, predicate: 'total', value: 900, observed_at: new Date().toISOString() }],
    })
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toContain('no longer what the approver was shown')
    expect(await page.getByText('Changed since the agent asked: now verified').isVisible()).toBe(true)
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('heading', { name: 'Approved' }).waitFor()
  },
  180_000,
)

it.skipIf(!existsSync(CHROMIUM))(
  'requests like each other are answered on one page, by keyboard, and one that fails loses no other',
  async () => {
    const clerk = await local.token('--agent', 'Agent::"clerk"', '--user', 'User::"uma"', '--session', 's3')
    const finn = await local.token('--role', 'approver', '--user', 'User::"finn"')
    const before = local.receiver.messages.length
    const tasks = [
      await requested(clerk, ask(701)),
      await requested(clerk, ask(702, 'second')),
      await requested(clerk, ask(703)),
    ]
    const links = await until(() => {
      const bodies = local.receiver.messages.slice(before).filter(({ path }) => path === '/fay')
      return bodies.length === tasks.length ? bodies.map(({ body }) => JSON.parse(body).data) : undefined
    })
    const { link } = links.find(({ task }: { task: string }) => task === tasks[0])
    const page = await context.newPage()
    await page.setViewportSize({ width: 390, height: 844 })
    await until(async () => {
      await page.goto(link)
      return (await page.getByRole('link', { name: 'together with 2 more' }).count()) > 0 ? true : undefined
    })
    await page.getByRole('link', { name: 'together with 2 more' }).click()
    await page.getByRole('heading', { name: '3 requests like each other wait' }).waitFor()
    expect(await serious(page)).toEqual([])
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    expect(overflow).toBe(0)
    await picture(page, 'approval-together.png')

    const articles = page.getByRole('article')
    expect(await articles.count()).toBe(3)
    for (const [index, amount] of [701, 702, 703].entries())
      expect(await articles.nth(index).locator('pre').first().textContent()).toContain(`"amount": ${amount}`)
    // Nothing is chosen for anyone.
    for (let index = 0; index < 3; index++)
      expect(await articles.nth(index).getByLabel('Leave it').isChecked()).toBe(true)

    // Somebody else answers one meanwhile.
    await local.call(`/v1/escalations/${tasks[1]}/votes`, finn, { vote: 'reject', reason: 'no' })
    await articles.nth(0).getByLabel('Leave it').focus()
    await page.keyboard.press('ArrowDown')
    expect(await articles.nth(0).getByLabel('Approve').isChecked()).toBe(true)
    await articles.nth(1).getByLabel('Approve').check()
    await articles.nth(2).getByLabel('Reject').check()
    await page.getByRole('textbox', { name: /Reason/ }).fill('looked at')
    await page.getByRole('button', { name: 'Send the answers' }).press('Enter')
    const results = page.getByRole('region', { name: 'Your answers' }).getByRole('listitem')
    await results.first().waitFor()
    const told = await results.allTextContents()
    expect(told.map(text => text.replaceAll(/\s+/g, ' ').trim().split('UTC: ')[1])).toEqual([
      'Approved',
      expect.stringMatching(/^not taken\. /),
      'Rejected',
    ])
    expect(await serious(page)).toEqual([])
    const statuses = await Promise.all(
      tasks.map(async task => {
        const { task: one } = (await (await local.call(`/access/v1/requests/${task}`, clerk)).json()) as {
          task: { status: string }
        }
        return one.status
      }),
    )
    expect(statuses).toEqual(['approved', 'denied', 'denied'])
  },
  180_000,
)
