import * as v from 'valibot'
import { Ask } from '../decision/ask.ts'

const Text = v.pipe(v.string(), v.maxLength(2_048))
const Time = v.pipe(
  v.string(),
  v.check(text => RFC3339.test(text) && !Number.isNaN(Date.parse(text)), 'not an RFC 3339 timestamp'),
)
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

const Denial = v.object({
  evaluation_id: v.optional(Text),
  evaluated_at: v.optional(Time),
  expires_at: Time,
  reason: v.optional(Text),
  binding_token: v.optional(v.pipe(v.string(), v.maxLength(16_384))),
  template: v.optional(Text),
})

type Actor = { id?: string | undefined; sub?: string | undefined; act?: Actor | undefined }
const Actor: v.GenericSchema<Actor> = v.object({
  id: v.optional(Text),
  sub: v.optional(Text),
  act: v.optional(v.lazy(() => Actor)),
})

/** A request for approval as the profile has it (Access Request Submission). Members that it doesn't know are ignored. */
export const Submission = v.object({
  ...Ask.entries,
  denial: Denial,
  requested_access: v.optional(v.object({ requested_until: v.optional(Time), emergency: v.optional(v.boolean()) })),
  callback: v.optional(
    v.object({
      endpoint: Text,
      state: v.optional(v.pipe(v.string(), v.maxLength(1_024))),
      events: v.optional(v.array(v.picklist(['approved', 'denied', 'expired', 'cancelled', 'failed', 'partial']))),
    }),
  ),
  client: v.optional(
    v.pipe(
      v.looseObject({ actor: v.optional(Actor) }),
      v.check(client => JSON.stringify(client).length <= 4_096, 'at most 4096 characters'),
    ),
  ),
})
export type Submission = v.InferOutput<typeof Submission>
