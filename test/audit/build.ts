import type { CollectCall } from '../../src/agent/calls/receipts.ts'
import {
  type Body,
  commitment,
  type Head,
  nextReceipt,
  type Secret,
  type Secrets,
  type StoredReceipt,
} from '../../src/audit/receipt.ts'

/** Chains of receipts as objects make them, without the objects. */

export const T0 = Date.UTC(2026, 10, 20, 9)

export type Entry = { at?: number; outcome?: string; resource?: string; user?: string; body?: Body }

export const chainOf = (entries: Entry[], more: Partial<Omit<CollectCall, 'receipts'>> = {}): CollectCall => {
  const chain = more.chain ?? crypto.randomUUID()
  const receipts: StoredReceipt[] = []
  let head: Head | undefined
  for (const entry of entries) {
    head = nextReceipt(chain, head, { kind: 'decision', at: entry.at ?? T0, ...recordOf(entry) })
    receipts.push(head as StoredReceipt)
  }
  return { v: 1, tenant: 'acme', agent: `Agent::"${chain}"`, ...more, chain, receipts }
}

const recordOf = ({ outcome = 'allow', resource = '7', user, body = {} }: Entry): { body: Body; secrets: Secrets } => {
  const secrets: Record<string, Secret> = {
    resource: { salt: crypto.randomUUID(), value: { type: 'Order', id: resource } },
  }
  if (user !== undefined) secrets.user = { salt: crypto.randomUUID(), value: { type: 'User', id: user } }
  const commitments = Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, commitment(secret)]))
  const decision = {
    evaluation_id: crypto.randomUUID(),
    outcome,
    reason: outcome === 'allow' ? 'permitted' : 'forbidden',
  }
  return { body: { caller: 'issuer/agent', action: 'refund', ...commitments, decision, ...body }, secrets }
}

export const ids = ({ receipts }: CollectCall): string[] =>
  receipts.map(({ body }) => JSON.parse(body).decision.evaluation_id)
