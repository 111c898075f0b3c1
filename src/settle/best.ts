import type { State } from './settle.ts'

/** No meter or purse was drawn from, nothing is known of the session, and no human has lifted anything. */
export const BEST: State = {
  suspended: false,
  unsettled: false,
  meter: () => undefined,
  purse: () => Number.POSITIVE_INFINITY,
  spent: () => undefined,
  held: () => ({ left: Number.MAX_SAFE_INTEGER }),
  finish: () => 'unknown',
  approved: () => false,
}
