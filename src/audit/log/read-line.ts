import * as v from 'valibot'

const Json = v.record(v.string(), v.unknown())
const Text = v.nullable(v.string())

/** A receipt in an export. */
export const ReceiptLine = v.object({
  type: v.literal('receipt'),
  leaf: v.number(),
  chain: v.string(),
  seq: v.number(),
  prev: v.string(),
  kind: v.string(),
  at: v.number(),
  bodyCommit: v.string(),
  hash: v.string(),
  body: v.union([Json, v.string()]),
  secrets: v.union([Json, v.string()]),
  columns: v.nullable(
    v.object({
      agent: Text,
      evaluation_id: Text,
      caller: Text,
      user: Text,
      action: Text,
      resource: Text,
      outcome: Text,
      reason: Text,
    }),
  ),
})

const Line = v.variant('type', [
  v.object({
    type: v.literal('export'),
    v: v.literal(1),
    tenant: v.string(),
    from: v.number(),
    to: v.number(),
    checkpoint: v.string(),
    keys: v.array(v.string()),
  }),
  v.object({
    type: v.literal('bundle'),
    n: v.number(),
    leaves: v.string(),
    proof: v.array(v.string()),
    entries: v.array(v.string()),
  }),
  v.object({ type: v.literal('consistency'), from: v.number(), proof: v.array(v.string()) }),
  ReceiptLine,
])
export type Line = v.InferOutput<typeof Line>
export type Header = Extract<Line, { type: 'export' }>
export type BundleLine = Extract<Line, { type: 'bundle' }>
export type ReceiptLine = v.InferOutput<typeof ReceiptLine>

/** A line of an export; `undefined` for what is none. */
export const readLine = (text: string): Line | undefined => {
  try {
    const parsed = v.safeParse(Line, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}
