import { createHmac, hkdfSync } from 'node:crypto'

/** The server's nonces for DPoP proofs (RFC 9449, 8 and 9). */
export type Nonces = { current: string; accepts: (nonce: string) => boolean }

/** How long one is given out; it is accepted for as long again. */
const LIFE_MS = 5 * 60_000

/**
 * Nonces that no one but the Worker can tell ahead, made of time and a key that all its isolates derive, so that none
 * has to be kept. Who holds a nonce has been in touch with the Worker within the last ten minutes.
 */
export const noncesOf = (secret: string, tenant: string, now: number): Nonces => {
  const period = Math.floor(now / LIFE_MS)
  const at = (n: number) =>
    createHmac('sha256', keyOf(secret))
      .update(JSON.stringify([tenant, n]))
      .digest('base64url')
  return {
    // most calls need neither
    get current() {
      return at(period)
    },
    accepts: nonce => nonce === at(period) || nonce === at(period - 1),
  }
}

const keyOf = (secret: string): Buffer => Buffer.from(hkdfSync('sha256', secret, '', 'countersign dpop nonce', 32))
