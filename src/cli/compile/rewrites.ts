import type { ActionType } from '../../cedar/schema.ts'
import type { Type } from '../../cedar/type.ts'
import { type RuleMeta, rewrites } from '../../policy/annotations.ts'
import type { LoadedBundle } from '../../policy/load.ts'
import { covers } from './overlap.ts'
import { readsSession } from './sessions.ts'

/**
 * Permits whose rewriting can't be: of arguments that an action which they permit doesn't have, or has of another type,
 * and permits that hang on the session, which only the agent's object knows, when it is too late to rewrite.
 */
export const badRewrites = ({
  policies,
  rules,
  schema,
  entities,
}: LoadedBundle): { policy: string; problem: string }[] =>
  [...policies.values()].flatMap(policy => {
    const rule = rules.get(policy.id)
    if (!rule || !rewrites(rule)) return []
    const problems = [...schema.actions.values()]
      .filter(({ uid, principals }) => principals.length > 0 && covers(policy.scope.action, uid, entities))
      .flatMap(action => problemsFor(rule, action))
    if (readsSession(policy)) problems.push('a permit that rewrites cannot hang on context.session')
    return [...new Set(problems)].map(problem => ({ policy: policy.id, problem }))
  })

const problemsFor = ({ sets, clamps }: RuleMeta, { uid, context }: ActionType): string[] => {
  const declared = context.attributes.get('arguments')?.type
  const kindOf = (argument: string): Type['kind'] | undefined =>
    declared?.kind === 'record' ? declared.attributes.get(argument)?.type.kind : undefined
  const wrong = (annotation: string, argument: string, kind: string) =>
    kindOf(argument) === kind ? [] : [`@${annotation}: action ${uid.id} has no argument ${argument} of type ${kind}`]
  return [
    ...sets.flatMap(({ argument, value }) => wrong('set', argument, KINDS[typeof value] ?? '')),
    ...clamps.flatMap(({ argument }) => wrong('clamp', argument, 'long')),
  ]
}

const KINDS: { readonly [type: string]: string } = { string: 'string', number: 'long', boolean: 'bool' }
