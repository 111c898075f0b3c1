import type { DecideItem } from '../agent/calls/decide.ts'
import { outcomeOf } from '../facts/settling.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Ask } from './ask.ts'
import type { Truth } from './known.ts'

/** The fact that tells what becomes of an action, and what it says by now; nothing where none does. */
export type Came = {
  /** Where it will be found. */
  telling?: { entity: string; predicate: string }
  came?: DecideItem['came'] & object
}

export const cameOf = (ask: Ask, truth: Truth | undefined, { settling }: Pick<LoadedBundle, 'settling'>): Came => {
  const told = settling.get(ask.action.name)
  const entity = told && truth?.entities.get(told.fact.name)
  const finding = told && truth?.findings.get(told.fact.name)
  if (!told || !entity || !finding) return {}
  const { name, predicate } = told.fact
  const telling = { entity: uidText(entity), predicate }
  const outcome = outcomeOf(told, finding)
  if (outcome === undefined || finding.status !== 'known') return { telling }
  const { id, hash, source, observedAt } = finding.fact
  return { telling, came: { outcome, by: source, fact: { name, id, hash, observedAt } } }
}
