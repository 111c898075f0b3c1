import type { Schema } from '../../cedar/schema.ts'
import type { Facts } from '../../facts/declarations.ts'
import { declaredIn } from '../../facts/load.ts'
import { readSettling } from '../../facts/settling.ts'
import type { Tenant } from '../../policy/tenant.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import type { Place } from './source-text.ts'

/** What is wrong with `outcomes` of tenant.json, held against the facts that are declared and the schema. */
export const unsettling = (
  { outcomes = {} }: Pick<Tenant, 'outcomes'>,
  schema: Schema,
  facts: Facts | undefined,
  placeOf: (pointer: string) => Place,
): Diagnostic[] =>
  readSettling(outcomes, schema, declaredIn(facts, schema)).problems.map(({ pointer, problem }) =>
    error(`/outcomes${pointer} ${problem}`, { place: placeOf(`/outcomes${pointer}`) }),
  )
