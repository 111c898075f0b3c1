import type { Ask } from '../decision/ask.ts'
import { uidText } from '../identity/uid.ts'
import type { OpenCall, Status, Target } from './call.ts'
import type { DeliveryRow } from './state.ts'

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
  return {
    title: TITLES[event],
    agent: open.agent,
    ...(user && { user: uidText(user) }),
    action: ask.action.name,
    resource: uidText(ask.resource),
    arguments: clipped(JSON.stringify(ask.action.properties ?? {})),
    ...(open.justification !== undefined && { requester_says: clipped(open.justification) }),
    expires_at: new Date(open.expiresAt).toISOString(),
  }
}

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
  ...(what.requester_says !== undefined ? ([['The requester says', what.requester_says]] as [string, string][]) : []),
  ['Until', what.expires_at],
]

/** Block Kit. `plain_text` is never read as markup, whatever is in it. */
const slack = (what: Summary, link: string) => ({
  text: what.title,
  blocks: [
    { type: 'header', text: { type: 'plain_text', text: what.title } },
    {
      type: 'section',
      fields: lines(what).map(([name, value]) => ({
        type: 'plain_text',
        text: `${name}\n${value}`,
        emoji: false,
      })),
    },
    {
      type: 'actions',
      elements: [
        { type: 'button', text: { type: 'plain_text', text: 'Look at it' }, url: link, action_id: 'open_request' },
      ],
    },
  ],
})

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
