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
    const admin = await local.token('--role', 'admin')
    const clerk = await local.token('--agent', 'Agent::"clerk"', '--user', 'User::"uma"', '--session', 's1')
    await local.call('/v1/webhooks/fay/secrets', admin, {})
    await local.call('/access/v1/evaluation', clerk, ask(120))
    const asked = ask(600, 'customer returned the parcel\u202e </pre><script>document.title="owned"</script>')
    const { context: denied } = (await (await local.call('/access/v1/evaluation', clerk, asked)).json()) as {
      context: { evaluation_id: string; access_request: { expires_at: string; binding_token: string } }
    }
    const { expires_at, binding_token } = denied.access_request
    const requested = await local.call('/access/v1/requests', clerk, {
      ...asked,
      context: { business_justification: 'The parcel came back yesterday.' },
      denial: { evaluation_id: denied.evaluation_id, expires_at, binding_token },
    })
    expect(requested.status).toBe(202)
    const { task } = (await requested.json()) as { task: { id: string } }
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

    const { result } = (await (await local.call(`/access/v1/requests/${task.id}`, clerk)).json()) as {
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
