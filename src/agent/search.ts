import { settle } from '../settle/settle.ts'
import { attend } from './attend.ts'
import type { Answered, Found, SearchCall } from './calls/questions.ts'

/** Keeps of what was found what would be permitted now, one by one: nothing is charged, and no approval used. */
export const search = (
  storage: DurableObjectStorage,
  chain: string,
  call: SearchCall,
  clock: () => number,
): Answered<Found[]> =>
  attend(
    storage,
    chain,
    call,
    {
      kind: 'search',
      none: [],
      answer: (state, now) => {
        const permitted = call.programs.map(program => {
          const { outcome } = settle(program, state, now)
          return outcome === 'allow' || outcome === 'modify'
        })
        const kept = call.found.filter(({ program }) => permitted[program])
        return { result: kept.map(({ result }) => result), charges: [] }
      },
    },
    clock,
  )
