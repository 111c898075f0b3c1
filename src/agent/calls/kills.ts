/** A kill switch that is on: what is stopped (for people), who stopped it, and why. */
export type Kill = { shown: string; by: string; reason: string; at: number }

/** What a tenant's kill switches stop, as `targets` of items name it. `seq` counts the changes. */
export type Epoch = { v: 1; seq: number; targets: string[] }

export type KillCall = {
  v: 1
  tenant: string
  target: string
  /** The same for people. */
  shown: string
  killed: boolean
  by: string
  reason: string
  at: number
}

export type KillReply =
  | { epoch: Epoch; changed: boolean }
  /** As many are on as may be. */
  | { kind: 'full' }
