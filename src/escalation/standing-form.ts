import { html } from 'hono/html'
import type { Intent } from '../decision/intent.ts'
import type { StandingTerms } from '../policy/escalation.ts'
import type { OpenCall } from './call.ts'
import type { ScopeChoice } from './scope.ts'

/** How far an approver may let an approval reach here: what every policy that stopped the action leaves open. */
export type StandingOffer = {
  action: string
  session: boolean
  /** Arguments of which a range may be stated, with their values here. */
  ranges: { argument: string; value: number }[]
  anyResource: boolean
  anyArguments: boolean
  max: number
  hours: number
}

export const standingOffer = ({ requirements, session, intent }: OpenCall): StandingOffer | undefined => {
  const terms = requirements.map(({ standing }) => standing)
  const known = terms.filter((one): one is StandingTerms => one !== undefined)
  const [first] = known
  if (!first || known.length < terms.length) return undefined
  const { arguments: args, action }: Intent = JSON.parse(intent)
  const ranges = first.ranges.filter(name => known.every(({ ranges: others }) => others.includes(name)))
  const offer = {
    action,
    session: session !== undefined && known.every(one => one.session),
    ranges: ranges.flatMap(argument => {
      const value = args[argument]
      return typeof value === 'number' ? [{ argument, value }] : []
    }),
    anyResource: known.every(one => one.anyResource),
    anyArguments: known.every(one => one.anyArguments),
    max: Math.min(...known.map(({ max }) => max)),
    hours: Math.floor(Math.min(...known.map(({ forMs }) => forMs)) / 3_600_000),
  }
  return (offer.session || offer.ranges.length > 0) && offer.hours > 0 ? offer : undefined
}

export const standingFields = (offer: StandingOffer) => html`<fieldset>
  <legend>How far it reaches</legend>
  <label><input type="radio" name="reach" value="once" checked /> Only this action, once</label>
  ${
    offer.session
      ? html`<label><input type="radio" name="reach" value="session" /> Also later ones in this session</label>`
      : ''
  }
  ${offer.ranges.map(
    ({ argument, value }) => html`<label>
        <input type="radio" name="reach" value="range:${argument}" /> Also later ones, up to this <code>${argument}</code>
      </label>
      <label for="most-${argument}">Greatest <code>${argument}</code></label>
      <input type="number" id="most-${argument}" name="most:${argument}" value="${value}" step="any" />`,
  )}
  ${
    offer.anyResource
      ? html`<label><input type="checkbox" name="any_resource" value="yes" /> On any resource of this type</label>`
      : ''
  }
  ${
    offer.anyArguments
      ? html`<label><input type="checkbox" name="any_arguments" value="yes" /> With any other arguments</label>`
      : ''
  }
  <label for="uses">How often (at most ${offer.max})</label>
  <input type="number" id="uses" name="uses" min="1" max="${offer.max}" value="${Math.min(5, offer.max)}" />
  <label for="hours">For how many hours (at most ${offer.hours})</label>
  <input type="number" id="hours" name="hours" min="1" max="${offer.hours}" value="${Math.min(8, offer.hours)}" />
</fieldset>`

/** What the form says; `undefined` where it says nothing that could be meant. */
export const choiceIn = (form: FormData): { scope?: ScopeChoice } | undefined => {
  const reach = String(form.get('reach') ?? 'once')
  if (reach === 'once') return {}
  const uses = Number(form.get('uses'))
  const hours = Number(form.get('hours'))
  if (!Number.isInteger(uses) || uses < 1 || !(hours > 0)) return undefined
  const loose = {
    uses,
    forMs: Math.round(hours * 3_600_000),
    ...(form.get('any_resource') === 'yes' && { anyResource: true as const }),
    ...(form.get('any_arguments') === 'yes' && { anyArguments: true as const }),
  }
  if (reach === 'session') return { scope: { session: true, ...loose } }
  const [, argument] = /^range:([A-Za-z_]\w*)$/.exec(reach) ?? []
  const most = form.get(`most:${argument}`)
  const max = typeof most === 'string' && most.trim() !== '' ? Number(most) : Number.NaN
  if (argument === undefined || !Number.isFinite(max)) return undefined
  return { scope: { range: { argument, max }, ...loose } }
}
