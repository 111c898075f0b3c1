import * as v from 'valibot'

/** A receipt as the Worker shows it. */
export const Receipt = v.object({
  chain: v.string(),
  seq: v.number(),
  prev: v.string(),
  kind: v.string(),
  at: v.number(),
  bodyCommit: v.string(),
  hash: v.string(),
  agent: v.nullable(v.string()),
  body: v.record(v.string(), v.unknown()),
  secrets: v.record(v.string(), v.object({ salt: v.string(), value: v.unknown() })),
  damaged: v.optional(v.literal(true)),
})
export type Receipt = v.InferOutput<typeof Receipt>

export const Page = v.object({ receipts: v.array(Receipt), next: v.optional(v.string()) })

/** What is searched by: the names of the options are those of the query. */
export const filterOptions = {
  agent: { type: 'string', value: 'UID', help: 'Agent::"support-bot"' },
  user: { type: 'string', value: 'UID', help: 'whom it acted for' },
  action: { type: 'string', value: 'NAME', help: 'what it wanted to do' },
  resource: { type: 'string', value: 'UID', help: 'to what' },
  outcome: { type: 'string', value: 'OUTCOME', help: 'allow, deny, modify, step_up, defer' },
  reason: { type: 'string', value: 'CODE', help: 'such as rate_limited' },
  policy: { type: 'string', value: 'ID', help: 'a policy that decided' },
  since: { type: 'string', value: 'TIME', help: '2026-11-25T09:00:00Z' },
  until: { type: 'string', value: 'TIME', help: 'excluded' },
} as const

type Filters = { [K in keyof typeof filterOptions]?: string }

export const queryOf = (filters: Filters & { limit?: number; cursor?: string }): string => {
  const query = new URLSearchParams()
  for (const name of [...Object.keys(filterOptions), 'limit', 'cursor']) {
    const value = Object.entries(filters).find(([key]) => key === name)?.[1]
    if (value !== undefined) query.set(name, String(value))
  }
  return query.toString()
}

export const DecisionOf = v.object({
  evaluation_id: v.string(),
  outcome: v.string(),
  reason: v.string(),
  policies: v.array(v.string()),
  bundle: v.object({ seq: v.number(), hash: v.string() }),
})

/** The body's decision; `undefined` for other kinds of receipts. */
export const decisionOf = ({ body }: Receipt) => {
  const read = v.safeParse(DecisionOf, body.decision)
  return read.success ? read.output : undefined
}

const Uid = v.object({ type: v.string(), id: v.string() })

/** A value as it is told: what was erased says so. */
export const tell = (value: unknown): string => {
  const uid = v.safeParse(Uid, value)
  if (uid.success) return `${uid.output.type}::${JSON.stringify(uid.output.id)}`
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** A member that may be personal. */
export const said = ({ body, secrets }: Receipt, name: string): string | undefined => {
  if (name in secrets) return tell(secrets[name]?.value)
  return name in body ? '(erased)' : undefined
}

/** One line about a receipt. */
export const row = (receipt: Receipt): string[] => {
  const decision = decisionOf(receipt)
  return [
    new Date(receipt.at).toISOString(),
    decision?.outcome ?? receipt.kind,
    receipt.agent ?? '',
    typeof receipt.body.action === 'string' ? receipt.body.action : '',
    receipt.damaged ? 'damaged: run countersign audit verify' : (said(receipt, 'resource') ?? ''),
    decision?.reason ?? said(receipt, 'reason') ?? '',
    decision?.evaluation_id ?? '',
  ]
}
