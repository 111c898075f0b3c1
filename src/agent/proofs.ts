import type { ProofClaim } from './calls/decide.ts'

/**
 * Remembers a DPoP proof, in the caller's transaction. `false` where another call has used it: a proof passes once
 * (RFC 9449, 11.1). The call that brought it may ask again, since one HTTP call can need an object more than once.
 */
export const claimProof = ({ sql }: DurableObjectStorage, { id, call, until }: ProofClaim): boolean => {
  const [used] = sql.exec<{ call: string }>('SELECT call FROM proof WHERE id = ?', id)
  if (used) return used.call === call
  sql.exec('INSERT INTO proof (id, call, until) VALUES (?, ?, ?)', id, call, until)
  return true
}
