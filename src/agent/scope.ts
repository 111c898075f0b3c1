import type { Filter } from '../sdk/scope/filter.ts'
import { settleScope } from '../settle/scope.ts'
import { attend } from './attend.ts'
import type { Answered, ScopeCall } from './calls/questions.ts'

/** Finishes a filter with the agent's state. */
export const scope = (
  storage: DurableObjectStorage,
  chain: string,
  call: ScopeCall,
  clock: () => number,
): Answered<Filter> =>
  attend(
    storage,
    chain,
    call,
    {
      kind: 'scope',
      none: { scope: 'never' },
      answer: (state, now) => settleScope(call.program, state, now),
      step: ({ scope }) => (scope === 'never' ? undefined : call.step),
    },
    clock,
  )
