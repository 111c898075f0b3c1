import { describe } from '../../cedar/convert.ts'
import type { Schema } from '../../cedar/schema.ts'
import type { RecordType, Type } from '../../cedar/type.ts'
import { readTolerance } from '../../facts/compare.ts'
import { Facts } from '../../facts/declarations.ts'
import { readSubject } from '../../facts/load.ts'
import { parseType } from '../../facts/type.ts'
import { nearest } from '../../policy/near.ts'
import type { Issuer } from '../../policy/tenant.ts'
import { type Diagnostic, error, warning } from './diagnostic.ts'
import { parseJsonFile } from './json-file.ts'
import type { WrittenPolicy } from './policies.ts'
import type { WrittenSchema } from './schema.ts'
import type { Place, SourceText } from './source-text.ts'

/** `facts.json`, with where its members stand. */
export type WrittenFacts = { facts: Facts; placeOf: (pointer: string) => Place }

/** Reads `facts.json` and compares it with the schema: what sources may say, and what policies may ask for. */
export const readFacts = (
  file: SourceText | undefined,
  schema: WrittenSchema | undefined,
): { written?: WrittenFacts; diagnostics: Diagnostic[] } => {
  if (file === undefined) {
    return { diagnostics: schema ? offered(schema, { facts: {} }) : [] }
  }
  const parsed = parseJsonFile(file, Facts)
  if (!parsed.ok) return { diagnostics: parsed.diagnostics }
  const { $schema: _, ...facts } = parsed.value
  const { placeOf } = parsed
  const complain = (pointer: string, problem: string, hint?: string) =>
    error(`${pointer}${problem.startsWith(':') ? '' : ' '}${problem}`, { place: placeOf(pointer), hint })
  const written = { facts, placeOf }
  if (!schema) return { written, diagnostics: [] }
  const diagnostics = [
    ...Object.entries(facts.sources).flatMap(([id, { speaks_of }]) =>
      speaks_of.flatMap(({ type }, index) =>
        schema.schema.entityTypes.has(type)
          ? []
          : [complain(`/sources/${id}/speaks_of/${index}/type`, `: the schema has no entity type ${type}`)],
      ),
    ),
    ...Object.entries(facts.facts).flatMap(([name, fact]) =>
      badDeclaration(name, fact, facts, schema.schema).map(({ member, problem, hint }) =>
        complain(`/facts/${name}${member}`, problem, hint),
      ),
    ),
    ...Object.keys(facts.facts).flatMap(name => unspoken(name, facts, placeOf(`/facts/${name}`))),
  ]
  return { written, diagnostics: [...diagnostics, ...offered(schema, facts)] }
}

/** Policies may only require what is declared. */
export const undeclaredRequirements = (
  policies: Iterable<WrittenPolicy>,
  { facts }: Pick<Facts, 'facts'>,
): Diagnostic[] =>
  [...policies].flatMap(({ id, rule, placeOf }) =>
    (rule.requires ?? [])
      .filter(({ fact }) => !Object.hasOwn(facts, fact))
      .map(({ fact }) => {
        const meant = nearest(fact, Object.keys(facts))
        const hint = meant === undefined ? 'declare it in facts.json' : `did you mean ${meant}?`
        return error(`@requires: there is no fact ${fact}`, { policy: id, place: placeOf(), hint })
      }),
  )

/** Issuers that speak for sources must name such as there are. */
export const checkSources = (
  issuers: readonly Issuer[],
  { sources }: Pick<Facts, 'sources'>,
  placeOf: (pointer: string) => Place,
): Diagnostic[] =>
  issuers.flatMap(({ source }, index) => {
    const named = source === undefined ? [] : typeof source === 'string' ? [source] : Object.values(source.ids)
    return named
      .filter(id => !Object.hasOwn(sources, id))
      .map(id => error(`facts.json has no source ${id}`, { place: placeOf(`/issuers/${index}/source`) }))
  })

type Declaration = Facts['facts'][string]
type Bad = { member: string; problem: string; hint?: string }

const badDeclaration = (name: string, fact: Declaration, { facts }: Facts, schema: Schema): Bad[] => {
  const problems: Bad[] = []
  const subject = readSubject(fact.of)
  if (subject?.kind === 'argument' && subject.type !== undefined && !schema.entityTypes.has(subject.type)) {
    problems.push({ member: '/of', problem: `: the schema has no entity type ${subject.type}` })
  }
  const type = parseType(fact.type, schema)
  if (!type) return [...problems, { member: '/type', problem: `: ${fact.type} is no type that a fact can have` }]
  if (fact.tolerance !== undefined && !readTolerance(fact.tolerance, type)) {
    const hint = 'a number or a percentage for numbers, a time such as 5m for datetime and duration'
    problems.push({ member: '/tolerance', problem: `: ${fact.tolerance} means nothing for ${fact.type}`, hint })
  }
  if (fact.sets === 'within' && type.kind !== 'set') {
    problems.push({ member: '/sets', problem: `means nothing for ${fact.type}` })
  }
  const measured = fact.unit !== undefined || Object.keys(fact.units).length > 0
  if (measured && type.kind !== 'long' && type.kind !== 'decimal') {
    problems.push({ member: '/unit', problem: `means nothing for ${fact.type}` })
  } else if (Object.keys(fact.units).length > 0 && fact.unit === undefined) {
    problems.push({ member: '/units', problem: 'says what others come to, and /unit not in what' })
  }
  const predicate = fact.predicate ?? name
  const other = Object.entries(facts).find(([one, declared]) => one < name && (declared.predicate ?? one) === predicate)
  const theirs = other && parseType(other[1].type, schema)
  if (theirs && describe(theirs) !== describe(type)) {
    problems.push({ member: '/type', problem: `: ${other[0]} has the same predicate, and another type` })
  }
  return problems
}

/** A fact that nobody may state can never be known. */
const unspoken = (name: string, { facts, sources }: Facts, place: Place): Diagnostic[] => {
  const predicate = facts[name]?.predicate ?? name
  const spoken = Object.values(sources).some(({ speaks_of }) =>
    speaks_of.some(({ predicates }) => predicates.includes(predicate)),
  )
  if (spoken) return []
  const hint = `let a source speak of ${predicate}`
  return [warning(`no source may state ${name}, so it is never known`, { place, hint })]
}

/** What the contexts of actions have of facts and claims, held against the declarations. */
const offered = ({ schema, placeOf }: WrittenSchema, { facts }: Pick<Facts, 'facts'>): Diagnostic[] =>
  [...schema.actions.values()].flatMap(action => {
    const complain = (problem: string, hint?: string) =>
      error(`action ${JSON.stringify(action.uid.id)}: ${problem}`, { place: placeOf(action), hint })
    const { attributes } = action.context
    const known = (member: string, name: string): Diagnostic[] => {
      if (Object.hasOwn(facts, name)) return []
      const meant = nearest(name, Object.keys(facts))
      const hint = meant ? `did you mean ${meant}?` : 'declare it in facts.json'
      return [complain(`context.${member}.${name} is a fact that nobody declared`, hint)]
    }
    const diagnostics: Diagnostic[] = []
    const arrays = [...attributes].filter(([name]) => name === 'missing' || name === 'contradicted')
    for (const [name, { type }] of arrays) {
      if (describe(type) !== 'Set<String>') diagnostics.push(complain(`context.${name} is not a Set<String>`))
    }
    for (const [name, { type, required }] of recordIn(attributes.get('facts')?.type)) {
      diagnostics.push(...known('facts', name))
      const fact = facts[name]
      const declared = fact && parseType(fact.type, schema)
      if (!declared || !fact) continue
      const form = `{ value: ${fact.type}, source: String, observedAt: datetime, validUntil: datetime }`
      if (!required)
        diagnostics.push(
          complain(`context.facts.${name} is optional`, `what isn't known is an unknown, never absent: drop the ?`),
        )
      if (!hasForm(type, declared))
        diagnostics.push(
          complain(`context.facts.${name} has another form than its declaration`, `declare it as ${form}`),
        )
      diagnostics.push(...unnamed(name, fact, attributes.get('arguments')?.type).map(problem => complain(problem)))
    }
    for (const [name, { type, required }] of recordIn(attributes.get('claims')?.type)) {
      diagnostics.push(...known('claims', name))
      const declared = facts[name] && parseType(facts[name].type, schema)
      if (!declared) continue
      if (required)
        diagnostics.push(complain(`context.claims.${name} is required`, `an agent may claim nothing: write ${name}?`))
      if (describe(type) !== describe(declared))
        diagnostics.push(complain(`context.claims.${name} is not a ${describe(declared)}`))
    }
    return diagnostics
  })

const recordIn = (type: Type | undefined): RecordType['attributes'] =>
  type?.kind === 'record' ? type.attributes : new Map()

const hasForm = (type: Type, value: Type): boolean => {
  if (type.kind !== 'record' || type.attributes.size !== 4) return false
  const members: Record<string, string> = {
    value: describe(value),
    source: 'String',
    observedAt: 'datetime',
    validUntil: 'datetime',
  }
  return Object.entries(members).every(([name, text]) => {
    const attribute = type.attributes.get(name)
    return attribute?.required === true && describe(attribute.type) === text
  })
}

/** An argument that a fact is about must be one that the action has. */
const unnamed = (name: string, { of }: Declaration, args: Type | undefined): string[] => {
  const subject = readSubject(of)
  if (subject?.kind !== 'argument') return []
  const type = recordIn(args).get(subject.name)?.type
  if (!type) return [`context.facts.${name} is about arguments.${subject.name}, which it doesn't have`]
  if (subject.type === undefined && type.kind !== 'entity') {
    return [`context.facts.${name}: arguments.${subject.name} is a ${describe(type)}; say of which type: \`as Order\``]
  }
  if (subject.type !== undefined && type.kind !== 'string') {
    return [`context.facts.${name}: arguments.${subject.name} is a ${describe(type)} and not a String`]
  }
  return []
}
