import * as v from 'valibot'
import type { Cited, Told } from '../facts/record.ts'
import { origins } from '../facts/verdict.ts'
import { Time, timeText } from './time.ts'

/** A fact that is on record or before an approver. One that is only cited says what it says in the ledger. */
export const ToldFact = v.object({
  id: v.string(),
  hash: v.string(),
  source: v.string(),
  from: v.picklist(origins),
  value: v.optional(v.unknown()),
  observed_at: v.optional(Time),
  valid_until: v.optional(Time),
  evidence: v.optional(v.string()),
})

export const toldFact = (fact: Cited | Told): v.InferOutput<typeof ToldFact> =>
  'value' in fact ? { ...fact, observed_at: timeText(fact.observed_at), valid_until: timeText(fact.valid_until) } : fact
