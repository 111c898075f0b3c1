import { settle } from '../settle/settle.ts'
import { attend } from './attend.ts'
import type { Answered, Found, SearchCall } from './calls/questions.ts'
import type { AgentObject } from './object.ts'
import { askRoot } from './tree.ts'

/**
 * Keeps of what was found what would be permitted now, one by one: nothing is charged, and no approval used. Throws where
 * that hangs on the root of the session's tree, and it can't be reached.
 */
export const search = async (
  storage: DurableObjectStorage,
  chain: string,
  call: SearchCall,
  agents: DurableObjectNamespace<AgentObject>,
  clock: () => number,
): Promise<Answered<Found[]>> => {
  const root = await askRoot(storage, agents, call.programs, call.session)
  return attend(
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
    root,
  )
}
