import type { ProofClaim } from '../agent/calls/decide.ts'
import type { Epoch } from '../agent/calls/kills.ts'
import type { AgentObject } from '../agent/object.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { EscalationObject } from '../escalation/object.ts'
import type { Signer } from '../identity/keys.ts'
import type { LoadedBundle } from '../policy/load.ts'

/** What an exchange is made with, beside what is asked and who takes part. */
export type ExchangeDeps = {
  tenant: string
  identifier: string
  bundle: LoadedBundle
  db: D1Database
  agents: DurableObjectNamespace<AgentObject>
  escalations: DurableObjectNamespace<EscalationObject>
  signer: Signer
  /** Keys for what the tenant marks as personal in receipts. */
  vault: Vault
  now: number
  /** The tenant's kill switches. */
  epoch: Epoch
  waitUntil: (work: Promise<unknown>) => void
}

/** The key of the new token, and what must not be used twice. */
export type Held = { jkt: string; proofs: ProofClaim[] }
