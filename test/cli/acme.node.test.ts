import { describe, expect, it } from 'vitest'
import { convertRecord } from '../../src/cedar/convert.ts'
import { evaluate } from '../../src/cedar/evaluate.ts'
import { entityRef } from '../../src/cedar/value.ts'
import { compile } from '../../src/cli/compile.ts'
import { parseUid } from '../../src/cli/uid.ts'
import { isMetered } from '../../src/policy/annotations.ts'
import { writeBundle } from '../../src/policy/bundle.ts'
import { type LoadedBundle, loadBundle } from '../../src/policy/load.ts'

const { bundle: compiled, diagnostics } = await compile('policies')

const load = (): LoadedBundle => {
  if (compiled === undefined) throw new Error('the example tenant has errors')
  const loaded = loadBundle(compiled, { tenant: 'acme', seq: 1, hash: writeBundle(compiled).hash, local: false })
  if (!loaded.ok) throw new Error(loaded.problem)
  return loaded.bundle
}

type Case = {
  /** `Agent` alone, or `Agent for User`: each is judged, everything else being equal. */
  who: string
  does: string
  to: string
  with?: Record<string, unknown>
  now?: string
  ip?: string
}

/**
 * What the policies alone say: `allow`, with the permits used; `forbid`, with the forbids; `none`, with the principals
 * that nothing permits. Metered forbids are left out: whether they hold is for the agent's object to say.
 */
const judge = (
  bundle: LoadedBundle,
  { who, does, to, with: args = {}, now = '2026-11-02T10:00:00Z', ip }: Case,
): string => {
  const action = bundle.schema.actions.get(entityRef('Action', does).key)
  if (action === undefined) throw new Error(`no action ${does}`)
  // A session in which nothing went before; not every action is judged by it.
  const session = action.context.attributes.has('session') && { session: { level: -1, overdue: 0 } }
  const context = { arguments: args, environment: ip ? { ip } : {}, now, ...session }
  const read = convertRecord(action.context, context, '')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  const resource = parseUid(to)
  const legs = who.split(' for ').map(name => {
    const principal = parseUid(name)
    const result = evaluate(
      bundle.policies,
      { principal, action: action.uid, resource, context: read.value },
      bundle.entities,
    )
    // A forbid that errs counts, as it does for the Worker.
    const matching = [...result.forbid.satisfied, ...result.forbid.errored.map(({ policyId }) => policyId)]
    const forbids = matching.filter(id => !isMetered(bundle.rules.get(id) ?? { limits: [], budgets: [] }))
    return { name, permits: [...result.permit.satisfied], forbids }
  })
  const forbids = new Set(legs.flatMap(leg => leg.forbids))
  if (forbids.size > 0) return `forbid: ${[...forbids].sort().join(' ')}`
  const without = legs.filter(leg => leg.permits.length === 0)
  if (without.length > 0) return `none: ${without.map(({ name }) => name).join(' ')}`
  return `allow: ${[...new Set(legs.flatMap(leg => leg.permits))].sort().join(' ')}`
}

it('has no errors and no warnings', () => {
  expect(diagnostics).toEqual([])
})

describe('the example tenant', () => {
  const bundle = load()
  const support = 'Agent::support-bot'
  const forAda = 'Agent::support-bot for User::ada'
  const forLeo = 'Agent::support-bot for User::leo'
  const forBen = 'Agent::finance-bot for User::ben'
  const eur = (amount: number) => ({ amount, currency: 'EUR' })
  const mail = (to: string, attachments?: string[]) => ({
    to,
    subject: 's',
    body: 'b',
    ...(attachments && { attachments }),
  })
  const rent = 'DE02500105170137075030'
  const hosting = 'DE02120300000000202051'

  it.each<[string, Case]>([
    // Groups nest: support is customer-facing.
    ['allow: orders-agents-view', { who: support, does: 'viewOrder', to: 'Order::o-1001' }],
    ['allow: orders-agents-view orders-team', { who: forAda, does: 'viewOrder', to: 'Order::o-1001' }],
    ['none: Agent::finance-bot', { who: 'Agent::finance-bot', does: 'viewOrder', to: 'Order::o-1001' }],
    ['none: User::ben', { who: 'Agent::support-bot for User::ben', does: 'viewOrder', to: 'Order::o-1001' }],
    // Nothing is known of its trust, and a forbid that can't tell forbids.
    ['forbid: agents-probation', { who: 'Agent::nobody', does: 'viewInvoice', to: 'Invoice::i-501' }],
    // An order stands below its customer.
    [
      'allow: orders-agents-view orders-intern-view',
      { who: 'Agent::intern-bot', does: 'viewOrder', to: 'Order::o-9001' },
    ],
    // unless
    ['allow: orders-support-change orders-team', { who: forAda, does: 'cancelOrder', to: 'Order::o-1002' }],
    ['none: Agent::support-bot', { who: forAda, does: 'cancelOrder', to: 'Order::o-1005' }],
    // On probation one reads, and that is all.
    ['forbid: agents-probation', { who: 'Agent::intern-bot', does: 'cancelOrder', to: 'Order::o-1002' }],
    // Both legs of a refund.
    [
      'allow: refund-own-limit refund-support-small',
      { who: forAda, does: 'refund', to: 'Order::o-1001', with: eur(5000) },
    ],
    ['none: Agent::support-bot', { who: forAda, does: 'refund', to: 'Order::o-1001', with: eur(5001) }],
    ['none: User::leo', { who: forLeo, does: 'refund', to: 'Order::o-1001', with: eur(2501) }],
    ['allow: refund-finance refund-own-limit', { who: forBen, does: 'refund', to: 'Order::o-1001', with: eur(12900) }],
    ['forbid: refund-fits-order', { who: forBen, does: 'refund', to: 'Order::o-1001', with: eur(12901) }],
    ['forbid: refund-fits-order', { who: forAda, does: 'refund', to: 'Order::o-1001', with: eur(0) }],
    [
      'forbid: refund-fits-order',
      { who: forAda, does: 'refund', to: 'Order::o-1001', with: { amount: 100, currency: 'USD' } },
    ],
    ['forbid: refund-only-when-done', { who: forAda, does: 'refund', to: 'Order::o-1002', with: eur(100) }],
    [
      'forbid: refund-too-late',
      { who: forAda, does: 'refund', to: 'Order::o-1003', with: { amount: 100, currency: 'USD' } },
    ],
    [
      'allow: refund-own-limit refund-support-small',
      {
        who: forAda,
        does: 'refund',
        to: 'Order::o-1003',
        with: { amount: 100, currency: 'USD' },
        now: '2026-01-30T00:00:00Z',
      },
    ],
    [
      'forbid: agents-money-needs-trust agents-probation',
      { who: 'Agent::intern-bot', does: 'refund', to: 'Order::o-9001', with: eur(100) },
    ],
    // Sets: only these fields, never those.
    [
      'allow: customers-contact',
      { who: support, does: 'viewCustomer', to: 'Customer::c-17', with: { fields: ['name', 'email'] } },
    ],
    [
      'none: Agent::support-bot',
      { who: support, does: 'viewCustomer', to: 'Customer::c-17', with: { fields: ['name', 'vatId'] } },
    ],
    [
      'forbid: customers-never',
      { who: support, does: 'viewCustomer', to: 'Customer::c-17', with: { fields: ['name', 'cardNumber'] } },
    ],
    [
      'forbid: customers-legal-hold',
      { who: support, does: 'viewCustomer', to: 'Customer::c-42', with: { fields: ['name'] } },
    ],
    ['none: User::leo', { who: forLeo, does: 'viewCustomer', to: 'Customer::c-17', with: { fields: ['name'] } }],
    [
      'allow: customers-contact customers-own-region',
      { who: forLeo, does: 'viewCustomer', to: 'Customer::c-23', with: { fields: ['name'] } },
    ],
    // Networks.
    ...(['10.20.3.4', '127.0.0.1', '2001:db8:20::7'].map(ip => [
      'allow: customers-export customers-export-team',
      {
        who: 'Agent::mail-bot for User::mia',
        does: 'exportCustomers',
        to: 'Segment::newsletter',
        with: { fields: ['email'], format: 'csv' },
        ip,
      },
    ]) as [string, Case][]),
    ...([{ ip: '10.21.0.1' }, {}].map(from => [
      'forbid: customers-export-office',
      {
        who: 'Agent::mail-bot for User::mia',
        does: 'exportCustomers',
        to: 'Segment::newsletter',
        with: { fields: ['email'], format: 'csv' },
        ...from,
      },
    ]) as [string, Case][]),
    // like
    ['allow: mail-support', { who: support, does: 'sendEmail', to: 'Mailbox::support', with: mail('jo@shop.example') }],
    [
      'allow: mail-support mail-team',
      { who: forAda, does: 'sendEmail', to: 'Mailbox::support', with: mail('jo@shop.example', ['terms.pdf']) },
    ],
    [
      'forbid: mail-attachments',
      { who: support, does: 'sendEmail', to: 'Mailbox::support', with: mail('jo@shop.example', ['customers.csv']) },
    ],
    [
      'allow: mail-support',
      { who: support, does: 'sendEmail', to: 'Mailbox::support', with: mail('ada@acme.example', ['customers.csv']) },
    ],
    [
      'forbid: mail-one-recipient',
      { who: support, does: 'sendEmail', to: 'Mailbox::support', with: mail('jo@shop.example,eve@evil.example') },
    ],
    [
      'forbid: mail-one-recipient',
      { who: support, does: 'sendEmail', to: 'Mailbox::support', with: mail('eve@evil.example@acme.example') },
    ],
    [
      'none: Agent::support-bot',
      { who: support, does: 'sendEmail', to: 'Mailbox::news', with: mail('jo@shop.example') },
    ],
    [
      'allow: mail-agent',
      { who: 'Agent::mail-bot', does: 'sendEmail', to: 'Mailbox::news', with: mail('mia@acme.example') },
    ],
    [
      'none: Agent::mail-bot',
      { who: 'Agent::mail-bot', does: 'sendEmail', to: 'Mailbox::news', with: mail('jo@shop.example') },
    ],
    // Attributes of attributes, and a template's links.
    [
      'allow: invoices-team pay-exactly pay-standing-hosting',
      { who: forBen, does: 'payInvoice', to: 'Invoice::i-501', with: { amount: 84000, account: hosting } },
    ],
    [
      'allow: invoices-team pay-standing-rent',
      { who: forBen, does: 'payInvoice', to: 'Invoice::i-502', with: { amount: 1250000, account: rent } },
    ],
    [
      'none: Agent::finance-bot',
      { who: forBen, does: 'payInvoice', to: 'Invoice::i-501', with: { amount: 84000, account: rent } },
    ],
    [
      'none: Agent::finance-bot',
      {
        who: forBen,
        does: 'payInvoice',
        to: 'Invoice::i-503',
        with: { amount: 30000, account: 'DE02100500000054540402' },
      },
    ],
    [
      'forbid: pay-four-eyes',
      { who: forBen, does: 'payInvoice', to: 'Invoice::i-504', with: { amount: 2000, account: hosting } },
    ],
    [
      'none: User::ada',
      {
        who: 'Agent::finance-bot for User::ada',
        does: 'payInvoice',
        to: 'Invoice::i-501',
        with: { amount: 84000, account: hosting },
      },
    ],
    // decimal, datetime
    [
      'allow: invoices-team pay-exactly pay-standing-hosting',
      {
        who: forBen,
        does: 'payInvoice',
        to: 'Invoice::i-501',
        with: { amount: 84000, account: hosting, discountPercent: '3.0' },
      },
    ],
    [
      'forbid: pay-discount',
      {
        who: forBen,
        does: 'payInvoice',
        to: 'Invoice::i-501',
        with: { amount: 84000, account: hosting, discountPercent: '3.0001' },
      },
    ],
    [
      'forbid: pay-year-end',
      {
        who: forBen,
        does: 'payInvoice',
        to: 'Invoice::i-501',
        with: { amount: 84000, account: hosting },
        now: '2026-12-31T23:00:00Z',
      },
    ],
    // Spaces nest; what isn't declared is in `extra`.
    [
      'allow: articles-public',
      {
        who: 'Agent::finance-bot',
        does: 'searchArticles',
        to: 'Space::help-centre',
        with: { query: 'q', extra: '{}' },
      },
    ],
    [
      'allow: articles-internal',
      { who: support, does: 'searchArticles', to: 'Space::runbooks', with: { query: 'q', extra: '{"limit":5}' } },
    ],
    [
      'none: Agent::finance-bot',
      { who: 'Agent::finance-bot', does: 'searchArticles', to: 'Space::runbooks', with: { query: 'q', extra: '{}' } },
    ],
    // Office hours, for agents.
    ['allow: articles-publish', { who: forAda, does: 'publishArticle', to: 'Article::returns' }],
    ['none: Agent::support-bot User::ada', { who: forAda, does: 'publishArticle', to: 'Article::price-list' }],
    [
      'forbid: articles-office-hours',
      { who: support, does: 'publishArticle', to: 'Article::returns', now: '2026-11-02T18:00:00Z' },
    ],
    [
      'allow: articles-publish',
      { who: 'User::ada', does: 'publishArticle', to: 'Article::returns', now: '2026-11-02T18:00:00Z' },
    ],
  ])('%s: %o', (expected, asked) => {
    expect(judge(bundle, asked)).toBe(expected)
  })
})
