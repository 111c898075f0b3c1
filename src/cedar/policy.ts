import { compileConditions, type Run } from './compile.ts'
import type { ClauseJson, Effect, PolicyJson } from './json.ts'
import type { EntityRef } from './value.ts'

export interface Policy {
  readonly id: string
  readonly effect: Effect
  /** An annotation without a value has the value `""`. */
  readonly annotations: ReadonlyMap<string, string>
  /** As it was loaded; for a link, its template. */
  readonly json: PolicyJson
  readonly templateId: string | undefined
  readonly scope: Scope
  readonly body: Body
}

/** The conditions, without the scope. Shared by all links of a template. */
export interface Body {
  readonly conditions: readonly ClauseJson[]
  run: Run | undefined
}

export interface Scope {
  readonly principal: Constraint
  readonly action: Constraint
  readonly resource: Constraint
}

/** Which entities one part of a request may name. */
export type Constraint =
  | { readonly op: 'any' }
  | { readonly op: 'is'; readonly type: string }
  | { readonly op: '=='; readonly entity: EntityRef }
  /** Below one of the entities, or one of them; of the type, if there is one. */
  | { readonly op: 'in'; readonly entities: readonly EntityRef[]; readonly type: string | undefined }

/** The policy's conditions, compiled when they are first asked for. */
export function conditionsOf({ body }: Policy): Run {
  body.run ??= compileConditions(body.conditions)
  return body.run
}
