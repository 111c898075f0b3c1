import { programOf } from '../../src/decision/legs.ts'
import { isRefusal } from '../../src/decision/refusal.ts'
import { what } from '../../src/decision/what.ts'
import { who } from '../../src/decision/who.ts'
import type { Caller } from '../../src/identity/caller.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { type LoadedBundle, loadBundle } from '../../src/policy/load.ts'
import { isTooLarge, scopeOf } from '../../src/scope/legs.ts'
import type { Filter } from '../../src/sdk/scope/index.ts'
import { settleScope } from '../../src/settle/scope.ts'
import { settle } from '../../src/settle/settle.ts'
import { state } from '../settle/build.ts'
import { type Doc, NOW, propertiesOf } from './generate.ts'

/** A gateway, and an agent that has done nothing yet. */
const PEP: Caller = { name: 'pep', issuer: 'i', roles: ['pep'], admitted: false, userAdmitted: false, groups: [] }
const FRESH = state()

export type Judge = {
  /** `undefined` where the filter would be too large. */
  filter: { filter: Filter; exact: boolean } | undefined
  decision: (doc: Doc) => boolean
}

/** The filter and, beside it, the decision of one row at a time: both as the Worker and the agent's object make them. */
export const judge = (bundle: Bundle, subject: string, args: Record<string, unknown>): Judge => {
  const loaded = load(bundle)
  const ask = (resource: { type: string; id: string; properties?: Record<string, unknown> }) => ({
    subject: { type: 'User', id: subject },
    action: { name: 'see', properties: args },
    resource,
  })
  const asked = (resource: Parameters<typeof ask>[0]) => {
    const actor = who(ask(resource), PEP, loaded)
    if (isRefusal(actor)) throw new Error(actor.reason)
    const read = what(ask(resource), actor, loaded, { now: NOW })
    if ('reason' in read) throw new Error(JSON.stringify(read))
    return { actor, read }
  }
  const { actor, read } = asked({ type: 'Doc', id: '' })
  const { program, inexact } = scopeOf(actor, read, ask({ type: 'Doc', id: '' }), loaded)
  return {
    filter: isTooLarge(program)
      ? undefined
      : { filter: settleScope(program, FRESH, NOW).result, exact: inexact.length === 0 },
    decision: doc => {
      const one = asked({ type: 'Doc', id: doc.id, properties: propertiesOf(doc) })
      return settle(programOf(one.actor, one.read, undefined, loaded), FRESH, NOW).outcome === 'allow'
    },
  }
}

const load = (bundle: Bundle): LoadedBundle => {
  const loaded = loadBundle(bundle, { tenant: bundle.settings.tenant, seq: 1, hash: 'h', local: true })
  if (!loaded.ok) throw new Error(loaded.problem)
  return loaded.bundle
}
