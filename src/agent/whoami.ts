import { attend } from './attend.ts'
import type { Answered, WhoamiCall } from './calls/questions.ts'
import { type Purse, readPurse } from './purses.ts'

/** What is left of the grant that an agent's token counts, on record that it was asked. */
export const whoami = (
  storage: DurableObjectStorage,
  chain: string,
  call: WhoamiCall,
  clock: () => number,
): Answered<Purse | null> =>
  attend(
    storage,
    chain,
    call,
    {
      kind: 'whoami',
      none: null,
      answer: () => {
        const purse = call.purse === undefined ? undefined : readPurse(storage, call.purse)
        const left = purse && { uses: purse.uses, amount: purse.amount, until: purse.until }
        return { result: left ?? null, charges: [] }
      },
    },
    clock,
  )
