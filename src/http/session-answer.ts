import * as v from 'valibot'
import type { Trace } from '../agent/session-trace.ts'
import { Time, timeText } from './time.ts'

/**
 * A session as admins read it. Its hashes are of what the agent's object keeps, which checks them itself; here members
 * and times are written as everywhere in the API. What was tampered with until it says nothing stands there as it is.
 */

const Uids = v.array(v.string())
const Knows = v.strictObject({ actions: Uids, resources: Uids, types: Uids, classes: Uids, level: v.number() })
const State = { steps: v.number(), ...Knows.entries, request: v.string() }
const Place = v.strictObject({ object: v.string(), agent: v.string(), session: v.string() })
const Step = {
  session: v.string(),
  action: v.string(),
  resource: v.string(),
  type: v.string(),
  read: v.optional(v.strictObject({ class: v.string(), level: v.number() })),
  request: v.optional(v.string()),
}
/** The step of another session that it comes from. */
const Link = { seq: v.number(), hash: v.string() }
const Told = v.strictObject({ by: v.strictObject({ ...Place.entries, ...Link }), news: v.partial(Knows) })

const StateAnswer = v.object({ started_at: Time, ...State })
const Unreadable = v.object({ unreadable: v.string() })

/** A step: an action that was allowed, a task handed on, or what was learned from the session above or below. */
const EntryAnswer = v.union([
  v.object({ at: Time, evaluation_id: v.string(), ...Step }),
  v.object({ at: Time, handed_on: Place }),
  v.object({ at: Time, inherited: v.object({ line: v.array(Place), ...Link, state: StateAnswer }) }),
  v.object({ at: Time, told: Told }),
  Unreadable,
])

export const TraceAnswer = v.object({
  state: v.union([StateAnswer, Unreadable]),
  steps: v.array(v.object({ seq: v.number(), prev: v.string(), hash: v.string(), entry: EntryAnswer })),
  /** The first step that isn't what the others lead to; absent where all are. */
  wrong: v.optional(v.number()),
  /** How many steps before these are no longer kept. */
  forgotten: v.optional(v.number()),
})

export const traceAnswer = ({
  state,
  unreadable,
  steps,
  wrong,
  forgotten,
}: Trace): v.InferOutput<typeof TraceAnswer> => ({
  state: unreadable === undefined ? readAs(StoredState, JSON.stringify(state)) : { unreadable },
  steps: steps.map(({ seq, prev, hash, entry }) => ({ seq, prev, hash, entry: readAs(StoredEntry, entry) })),
  ...(wrong !== undefined && { wrong }),
  ...(forgotten !== undefined && { forgotten }),
})

const readAs = <S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> | { unreadable: string } => {
  const stored = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
  return stored.success ? stored.output : { unreadable: text }
}

const StoredTime = v.pipe(v.number(), v.minValue(0), v.maxValue(8.64e15), v.transform(timeText))
const StoredState = v.pipe(
  v.strictObject({ startedAt: StoredTime, ...State }),
  v.transform(({ startedAt, ...rest }) => ({ started_at: startedAt, ...rest })),
)
const StoredEntry = v.union([
  v.pipe(
    v.strictObject({ at: StoredTime, evaluationId: v.string(), ...Step }),
    v.transform(({ at, evaluationId, ...step }) => ({ at, evaluation_id: evaluationId, ...step })),
  ),
  v.strictObject({ at: StoredTime, handed_on: Place }),
  v.strictObject({
    at: StoredTime,
    inherited: v.strictObject({ line: v.array(Place), ...Link, state: StoredState }),
  }),
  v.strictObject({ at: StoredTime, told: Told }),
])
