import { contentHash } from '../durable/hash.ts'
import type { Reading } from '../facts/find.ts'
import { factsNow } from '../facts/now.ts'
import { type BoundFact, boundOf, boundTo, type ShownFact } from '../facts/shown.ts'
import type { OpenCall } from './call.ts'

/** What an approver is shown at one time: the request as it was made, and what is known by now. */
export type Sight = {
  factsNow: ShownFact[]
  /** What an approval rests upon. */
  bound: BoundFact[]
  /** Names all of it; another one means that something changed. */
  digest: string
}

/** What the denied evaluation relied upon, or lacked. */
export const factsAsked = ({ facts }: Pick<OpenCall, 'facts'>): ShownFact[] =>
  facts === undefined ? [] : JSON.parse(facts)

export const sightOf = async (open: OpenCall, reading: Reading): Promise<Sight> => {
  const asked = factsAsked(open)
  const now = asked.length === 0 ? [] : await factsNow(asked, reading)
  return { factsNow: now, bound: boundTo(asked, now), digest: digestOf(open, now) }
}

const digestOf = (open: OpenCall, now: ShownFact[]): string =>
  contentHash({
    evaluation: open.evaluationId,
    action: open.actionHash,
    requester: open.requester,
    justification: open.justification ?? null,
    policies: open.requirements.map(({ policy, textHash }) => [policy, textHash]),
    facts: factsAsked(open),
    // of now what is said: that a source looked again changes nothing
    now: now.map(fact => [fact.status, boundOf(fact)]),
  })
