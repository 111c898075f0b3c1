import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Filter, predicate } from '../src/sdk/scope/index.ts'
import { type Answer, agent as agentOf, type Receipt } from './agent.ts'
import { delegated } from './delegated.ts'
import { countersign, startWorker, wrangler } from './local.ts'
import { rows, table } from './table.ts'

/**
 * The main job from end to end, on this machine: local D1, the example tenant pushed, the Worker started, a support
 * agent's real HTTP calls judged, and their receipts read back from D1. Exits with 1 if any answer isn't the one that
 * the policies call for.
 */
const main = async (): Promise<number> => {
  const state = await mkdtemp(join(tmpdir(), 'countersign-demo-'))
  step('set up: signing key and development issuer')
  await countersign('setup')
  step('migrate local D1')
  await wrangler('d1', 'migrations', 'apply', 'countersign', '--local', '--persist-to', state)
  step('start the Worker')
  const worker = await startWorker(state)
  try {
    step(`push policies/ (the tenant acme) to ${worker.origin}`)
    const pushed = await countersign('push', 'policies', '--local', '--persist-to', state)
    console.log(pushed.trimEnd().replace(/^/gm, '    '))
    return await story(worker.origin, state)
  } finally {
    await worker.stop()
    await rm(state, { recursive: true, force: true })
  }
}

type Line = { what: string; expected: string; got: string; why: string }

const story = async (origin: string, state: string): Promise<number> => {
  const support = await agentOf(origin, { agent: 'Agent::"support-bot"', user: 'User::"ada"', session: 'demo' })
  const finance = await agentOf(origin, { agent: 'Agent::"finance-bot"', user: 'User::"ben"', session: 'demo' })
  const eva = await agentOf(origin, { role: 'approver', user: 'User::"eva"' })
  const intern = await agentOf(origin, { agent: 'Agent::"intern-bot"' })
  const stranger = await agentOf(origin, { agent: 'Agent::"nobody-knows-me"' })
  const forger = support.with(`${support.token.slice(0, -8)}AAAAAAAA`)
  const gateway = await agentOf(origin, { role: 'pep' })
  const admin = await agentOf(origin, { role: 'admin' })
  const auditor = await agentOf(origin, { role: 'auditor' })
  const orders = await agentOf(origin, { role: 'source', source: 'order-system' })
  const payments = await agentOf(origin, { role: 'source', source: 'payments' })

  const order = (id: string) => ({ type: 'Order', id })
  const refund = (amount: number) => ({ name: 'refund', properties: { amount, currency: 'EUR' } })
  const lines: Line[] = []
  const ask = async (what: string, expected: string, answer: Promise<Answer>) => {
    const told = await answer
    lines.push({ what, expected, got: told.outcome, why: told.why })
    return told
  }

  await ask('support-bot for ada: look at order o-1001', 'allow', support.ask({ name: 'viewOrder' }, order('o-1001')))
  await ask('support-bot for ada: refund 20.00', 'allow', support.ask(refund(2_000), order('o-1001')))
  await ask('support-bot for ada: refund 80.00', 'deny', support.ask(refund(8_000), order('o-1001')))
  await ask(
    'support-bot for ada: refund "a lot"',
    'deny',
    support.ask({ name: 'refund', properties: { amount: 'a lot' } }, order('o-1001')),
  )
  await ask(
    'support-bot for ada: delete the customer',
    'deny',
    support.ask({ name: 'deleteCustomer' }, { type: 'Customer', id: 'c1' }),
  )
  await ask('support-bot for ada: refund 5.00 again', 'allow', support.ask(refund(500), order('o-1001')))
  await ask('support-bot for ada: a third refund this hour', 'deny', support.ask(refund(500), order('o-1001')))
  await ask('support-bot for ada: refund an open order', 'deny', support.ask(refund(500), order('o-1002')))
  const credit = { name: 'issueCredit', properties: { amount: 5_000 } }
  const stated = (predicate: string, value: unknown) => {
    const observed_at = new Date().toISOString()
    return { facts: [{ entity: order('o-1001'), predicate, value, observed_at }] }
  }
  await orders.post('/v1/facts', stated('total', 9_000))
  await ask(
    'support-bot for ada: credit 50.00, claiming that the order came to 900.00',
    'deny',
    support.ask(credit, order('o-1001'), { claims: { orderTotal: { value: 900, unit: 'EUR' } } }),
  )
  const claims = { orderTotal: { value: 90, unit: 'EUR' } }
  const { id: deferred } = await ask(
    'support-bot for ada: credit 50.00, claiming 90.00',
    'defer',
    support.ask(credit, order('o-1001'), { claims }),
  )
  await payments.post('/v1/facts', stated('chargeback', false))
  await ask(
    'support-bot for ada: the same, once the payment provider has spoken',
    'allow',
    support.ask(credit, order('o-1001'), { claims, continues: deferred }),
  )
  await ask('intern-bot: refund 1.00', 'deny', intern.ask(refund(100), order('o-1001')))
  await ask(
    'a genuine token of an agent that nobody listed',
    'deny',
    stranger.ask({ name: 'viewOrder' }, order('o-1001')),
  )
  await ask('a forged token', '401', forger.ask({ name: 'viewOrder' }, order('o-1001')))
  const { request: large } = await ask(
    'finance-bot for ben: refund 600.00',
    'step_up',
    finance.ask(refund(60_000), order('o-1006')),
  )
  const { task } = await finance.post('/access/v1/requests', large)
  await eva.post(`/v1/escalations/${task.id}/votes`, { vote: 'approve', reason: 'the parcel is back' })
  const { result } = await finance.get(`/access/v1/requests/${task.id}`)
  await ask(
    'the same, approved by eva of finance',
    'allow',
    finance.ask(refund(60_000), order('o-1006'), { approval: result.approval }),
  )
  await ask(
    'the same approval once more',
    'step_up',
    finance.ask(refund(60_000), order('o-1006'), { approval: result.approval }),
  )
  const runner = await delegated(origin, support.token, {
    agent: { type: 'Agent', id: 'case-runner' },
    // The task: one order, looked at as often as it takes, and ten euros given back at most.
    authorization_details: [
      { type: 'countersign_grant', actions: ['viewOrder'], resources: [order('o-1001')] },
      {
        type: 'countersign_grant',
        actions: ['refund'],
        resources: [order('o-1001')],
        arguments: { amount: { lte: 1_000 } },
      },
    ],
  })
  await ask(
    'case-runner, given one task by support-bot: look',
    'allow',
    runner.ask({ name: 'viewOrder' }, order('o-1001')),
  )
  await ask('case-runner: refund 5.00', 'allow', runner.ask(refund(500), order('o-1001')))
  await ask('case-runner: refund 20.00, beyond its grant', 'deny', runner.ask(refund(2_000), order('o-1001')))
  const twenty = await runner.asking([
    {
      type: 'countersign_grant',
      actions: ['refund'],
      resources: [order('o-1001')],
      arguments: { amount: { lte: 2_000 } },
    },
  ])
  const { task: asked } = await twenty()
  await eva.post(`/v1/escalations/${asked?.id}/votes`, { vote: 'approve', reason: 'two parcels are back' })
  const { child: wider } = await twenty()
  if (!wider) throw new Error('eva approved more, and it was not given')
  await ask(
    'case-runner, which eva of finance let have more: the same',
    'allow',
    wider.ask(refund(2_000), order('o-1001')),
  )
  await ask('case-runner: look at another order', 'deny', runner.ask({ name: 'viewOrder' }, order('o-1002')))

  const letter = { name: 'sendEmail', properties: { to: 'kim@customer.example', subject: 'Your case', body: '…' } }
  const mailbox = { type: 'Mailbox', id: 'support' }
  const customer = { type: 'Customer', id: 'c-17' }
  const look = { name: 'viewCustomer', properties: { fields: ['name', 'email'] } }
  await ask('support-bot for ada: write to the customer', 'allow', support.ask(letter, mailbox))
  const reader = await delegated(origin, support.token, {
    agent: { type: 'Agent', id: 'case-runner' },
    authorization_details: [{ type: 'countersign_grant', actions: ['viewCustomer'], resources: [customer] }],
  })
  await ask('case-runner, given another task: look at what is confidential', 'allow', reader.ask(look, customer))
  await ask('support-bot for ada: write again, now that its child has read that', 'deny', support.ask(letter, mailbox))

  await admin.post('/v1/agents/Agent/support-bot/suspend', { reason: 'shown in the demo' })
  await ask('support-bot, suspended: look at order o-1001', 'deny', support.ask({ name: 'viewOrder' }, order('o-1001')))
  await ask('case-runner, its parent suspended: look', 'deny', runner.ask({ name: 'viewOrder' }, order('o-1001')))
  await admin.post('/v1/agents/Agent/support-bot/resume', { reason: 'shown in the demo' })
  await ask('support-bot, resumed: look at order o-1001', 'allow', support.ask({ name: 'viewOrder' }, order('o-1001')))

  const mail = await agentOf(origin, { agent: 'Agent::"mail-bot"' })
  const invoice = (id: string) => ({ type: 'Invoice', id })
  await ask('mail-bot: look at an invoice', 'deny', mail.ask({ name: 'viewInvoice' }, invoice('i-501')))
  const masked = mail.ask({ name: 'viewInvoice' }, invoice('i-501'), { supported_obligations: ['custom'] })
  await ask('mail-bot, which keeps back what it is told to: the same', 'modify', masked)
  await listing(await agentOf(origin, { agent: 'Agent::"support-bot"' }))

  const pay = (amount: number, account: string) => ({ name: 'payInvoice', properties: { amount, account } })
  const rent = () => finance.ask(pay(1_250_000, 'DE02500105170137075030'), invoice('i-502'))
  const hosting = () => finance.ask(pay(84_000, 'DE02120300000000202051'), invoice('i-501'))
  await ask("finance-bot for ben: pay the rent, 12,500.00 of all agents' 20,000.00 a month", 'allow', rent())
  await ask('finance-bot for ben: pay it again', 'deny', rent())
  const { id: paid } = await ask('finance-bot for ben: pay for hosting, 840.00', 'allow', hosting())
  await finance.post(`/v1/decisions/${paid}/outcome`, { outcome: 'unknown', note: 'the bank did not answer' })
  await ask('finance-bot for ben: pay again, since the outcome is unknown', 'deny', hosting())
  const subject = { type: 'Agent', id: 'finance-bot' }
  await gateway.post(`/v1/decisions/${paid}/outcome`, { outcome: 'not_done', subject })
  await ask('finance-bot for ben: pay, after the gateway reported that nothing was done', 'allow', hosting())

  console.log(`\nWhat the agents were told\n`)
  console.log(
    table(
      ['asked', 'outcome', 'why'],
      lines.map(line => [line.what, line.got, line.why]),
    ),
  )

  const receipts = await onRecord(auditor, lines.filter(({ got }) => got !== '401').length)
  console.log(`\nThe same, read back from D1 (newest first)\n`)
  console.log(rows(receipts))

  const wrong = lines.filter(line => line.expected !== line.got)
  for (const line of wrong) console.error(`${line.what}: ${line.expected} was expected, ${line.got} was answered`)
  const allowed = lines.filter(line => line.got === 'allow').length
  console.log(`\n${lines.length} calls, ${allowed} allowed, ${receipts.length} receipts in D1`)
  const proven = await verified(origin, state, receipts.length)
  return wrong.length === 0 && receipts.length > 0 && proven ? 0 : 1
}

/** What an agent may see: by a search of what the bundle knows, and by a filter for a store's rows. */
const listing = async (agent: Awaited<ReturnType<typeof agentOf>>): Promise<void> => {
  const subject = { type: 'Agent', id: 'support-bot' }
  const asked = { subject, action: { name: 'updateOrder' }, resource: { type: 'Order' } }
  const { results } = await agent.post('/access/v1/search/resource', asked)
  console.log(`\nOrders that support-bot may change: ${results.map(({ id }: { id: string }) => id).join(', ')}`)
  const filter: Filter = await agent.post('/v1/scope', asked)
  const rows = ['open', 'shipped', 'returned', 'paid'].map((status, n) => ({ id: `row-${n}`, status }))
  const held = rows.filter(predicate(filter)).map(({ status }) => status)
  console.log(`Of a store's orders, those that are: ${held.join(', ')}`)
}

/** Exports the record and checks it offline, as it is and after somebody changed one receipt of it. */
const verified = async (origin: string, state: string, receipts: number): Promise<boolean> => {
  const file = join(state, 'record.ndjson')
  const seen = ['--seen', join(state, 'seen.json')]
  for (let tries = 0; ; tries++) {
    await sleep(500)
    const log = await countersign('audit', 'export', file, '--url', origin, ...seen).catch(() => '')
    const lines = log === '' && existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : []
    if (lines.filter(line => line.startsWith('{"type":"receipt"')).length >= receipts) break
    if (tries === 40) throw new Error('no checkpoint covered the receipts within twenty seconds')
  }
  console.log('\nThe record, checked offline\n')
  const sound = await tried('audit', 'verify', file, ...seen)
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('"outcome":"deny"', '"outcome":"allow"'))
  console.log('\nThe same, after somebody turned one denial into an allow\n')
  const bent = await tried('audit', 'verify', file, ...seen)
  return sound && !bent
}

const tried = async (...args: string[]): Promise<boolean> => {
  const { ok, text } = await countersign(...args).then(
    text => ({ ok: true, text }),
    (error: Error) => ({ ok: false, text: error.message.slice(error.message.indexOf('\n') + 1) }),
  )
  console.log(text.trimEnd().replace(/^/gm, '    '))
  return ok
}

/** Receipts reach D1 about two seconds after they were committed. */
const onRecord = async (auditor: Awaited<ReturnType<typeof agentOf>>, decisions: number) => {
  for (let tries = 0; tries < 40; tries++) {
    const { receipts }: { receipts: Receipt[] } = await auditor.get('/v1/receipts?limit=100')
    if (receipts.filter(({ kind }) => kind === 'decision').length >= decisions) return receipts
    await sleep(250)
  }
  throw new Error('the receipts did not reach D1 within ten seconds')
}

const step = (text: string) => console.log(`• ${text}`)

process.exitCode = await main()
