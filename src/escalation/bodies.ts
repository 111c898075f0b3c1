import type { Ask } from '../decision/ask.ts'
import type { ShownFact } from '../facts/shown.ts'
import { uidText } from '../identity/uid.ts'
import type { OpenCall, Status, Target } from './call.ts'
import { wordOf } from './facts-section.ts'
import { factsAsked } from './sight.ts'
import type { DeliveryRow } from './state.ts'
import { visible } from './text.ts'

/** The text of a message. What agents wrote stands in it as quoted, and never as markup. */
export const bodyOf = (
  open: OpenCall,
  delivery: Pick<DeliveryRow, 'id' | 'event' | 'at' | 'grp'>,
  { format }: Target,
  { link, status }: { link: string; status: Status },
): string => {
  if (delivery.event === 'callback') return JSON.stringify(callback(open, status))
  const what = summary(open, delivery)
  switch (format) {
    case 'slack':
      return JSON.stringify(slack(what, link))
    case 'teams':
      return JSON.stringify(teams(what, link))
    case 'json':
      return JSON.stringify({
        type: `escalation.${delivery.event}`,
        timestamp: new Date(delivery.at).toISOString(),
        data: { task: open.task, evaluation_id: open.evaluationId, group: delivery.grp, ...what, link },
      })
  }
}

/** A notification only: what was approved is read from the task (profile, Callback Completion). */
const callback = ({ task, identifier, callback: wanted }: OpenCall, status: Status) => ({
  ...(wanted?.state !== undefined && { state: wanted.state }),
  task: { id: task, status, status_endpoint: `${identifier}/access/v1/requests/${task}` },
})

type Summary = ReturnType<typeof summary>

const summary = (open: OpenCall, { event }: Pick<DeliveryRow, 'event'>) => {
  const ask: Ask = JSON.parse(open.ask)
  const { user } = open.principals
  const facts = factsAsked(open)
  return {
    title: TITLES[event],
    agent: open.agent,
    ...(user && { user: uidText(user) }),
    action: ask.action.name,
    resource: uidText(ask.resource),
    arguments: clipped(visible(JSON.stringify(ask.action.properties ?? {}))),
    ...(facts.length > 0 && { facts: facts.toSorted(worstFirst).slice(0, MOST_FACTS).map(factIn) }),
    ...(facts.length > MOST_FACTS && { more_facts: facts.length - MOST_FACTS }),
    ...(open.justification !== undefined && { requester_says: clipped(visible(open.justification)) }),
    expires_at: new Date(open.expiresAt).toISOString(),
  }
}

/** What a message has room for: what speaks against the agent first, the rest is on the page. */
const MOST_FACTS = 5
const worstFirst = (a: ShownFact, b: ShownFact): number => ORDER.indexOf(wordOf(a)) - ORDER.indexOf(wordOf(b))
const ORDER = ['contradicted', 'disputed', 'missing', 'stale', 'known', 'verified']

const factIn = (fact: ShownFact) => ({
  name: fact.name,
  status: wordOf(fact),
  ...(fact.about && { about: uidText(fact.about) }),
  ...('claimed' in fact && { agent_says: valueIn(fact.claimed) }),
  sources_say: fact.facts.slice(0, MOST_FACTS).map(({ source, value, observed_at, valid_until }) => ({
    source,
    value: valueIn(value),
    observed_at: new Date(observed_at).toISOString(),
    valid_until: new Date(valid_until).toISOString(),
  })),
})

/** Cut where it is long, so that what stands after it is still read. */
const valueIn = (json: unknown): string => {
  const text = visible(JSON.stringify(json) ?? '')
  return text.length > MOST_VALUE ? `${text.slice(0, MOST_VALUE)}… (${text.length} characters)` : text
}
const MOST_VALUE = 100

const factLine = ({ name, status, agent_says, sources_say }: ReturnType<typeof factIn>): string =>
  [
    `${name}: ${status}`,
    ...(agent_says === undefined ? [] : [`the agent says ${agent_says}`]),
    ...sources_say.map(
      ({ source, value, observed_at, valid_until }) =>
        `${source} says ${value} (observed ${observed_at}, valid until ${valid_until})`,
    ),
  ].join('; ')

const TITLES = {
  requested: 'An agent asks for approval',
  reminded: 'An agent still waits for approval',
  passed_on: 'An agent waits for approval, and nobody has answered',
  callback: '',
} as const

const MOST = 500
const clipped = (text: string): string => (text.length > MOST ? `${text.slice(0, MOST)}…` : text)

const lines = (what: Summary): [string, string][] => [
  ['Agent', what.agent],
  ...(what.user !== undefined ? ([['For', what.user]] as [string, string][]) : []),
  ['Action', what.action],
  ['Resource', what.resource],
  ['Arguments', what.arguments],
  ...(what.facts ?? []).map((fact): [string, string] => ['Fact', factLine(fact)]),
  ...(what.more_facts !== undefined ? ([['More facts', `${what.more_facts}, on the page`]] as [string, string][]) : []),
  ...(what.requester_says !== undefined ? ([['The requester says', what.requester_says]] as [string, string][]) : []),
  ['Until', what.expires_at],
]

/** Block Kit. `plain_text` is never read as markup, whatever is in it. */
const slack = (what: Summary, link: string) => ({
  text: what.title,
  blocks: [
    { type: 'header', text: { type: 'plain_text', text: what.title } },
    // at most ten fields of 2,000 characters in one
    ...chunks(lines(what), 10).map(some => ({
      type: 'section',
      fields: some.map(([name, value]) => ({
        type: 'plain_text',
        text: `${name}\n${value}`.slice(0, 2_000),
        emoji: false,
      })),
    })),
    {
      type: 'actions',
      elements: [
        { type: 'button', text: { type: 'plain_text', text: 'Look at it' }, url: link, action_id: 'open_request' },
      ],
    },
  ],
})

const chunks = <T>(items: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size))

/** An adaptive card. Its text blocks read markdown, so what others wrote has its marks taken from it. */
const teams = (what: Summary, link: string) => ({
  type: 'message',
  attachments: [
    {
      contentType: 'application/vnd.microsoft.card.adaptive',
      content: {
        $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
        type: 'AdaptiveCard',
        version: '1.4',
        body: [
          { type: 'TextBlock', text: what.title, weight: 'Bolder', size: 'Medium', wrap: true },
          { type: 'FactSet', facts: lines(what).map(([title, value]) => ({ title, value: plain(value) })) },
        ],
        actions: [{ type: 'Action.OpenUrl', title: 'Look at it', url: link }],
      },
    },
  ],
})

const plain = (text: string): string => text.replace(/[\\`*_[\]()#+~<>|-]/g, mark => `\\${mark}`)
