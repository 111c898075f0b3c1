import { describe } from '../../cedar/convert.ts'
import type { SchemaJson } from '../../cedar/json.ts'
import { type ActionType, loadSchema, type Schema } from '../../cedar/schema.ts'
import type { RecordType, Type } from '../../cedar/type.ts'
import { parseSchema } from './cedar.ts'
import { type Diagnostic, error, warning } from './diagnostic.ts'
import { actionTokens, tokensOf } from './lexer.ts'
import { type Place, placeAt, type SourceText } from './source-text.ts'

export type WrittenSchema = {
  text: string
  json: SchemaJson
  schema: Schema
  /** Where an action is declared. */
  placeOf: (action: ActionType) => Place
}

/** What a context may hold, and of what kind: it is the Worker that fills it. */
const contextMembers: Readonly<Record<string, Type['kind']>> = {
  arguments: 'record',
  environment: 'record',
  now: 'datetime',
  facts: 'record',
  claims: 'record',
  missing: 'set',
  contradicted: 'set',
  session: 'record',
}

export const readSchema = (file: SourceText): { schema?: WrittenSchema; diagnostics: Diagnostic[] } => {
  const parsed = parseSchema(file.text)
  const placed = (range: { start: number; end: number } | undefined) => placeAt(file, range ?? { start: 0, end: 0 })
  if (!parsed.ok) {
    const diagnostics = parsed.errors.map(({ message, hint, range }) => error(message, { place: placed(range), hint }))
    return { diagnostics }
  }
  const tokens = tokensOf(file.text)
  const schema = loadSchema(parsed.json)
  const placeOf = ({ uid }: ActionType) => placed(actionTokens(tokens, uid.id)[0])
  const diagnostics = [
    ...parsed.warnings.map(({ message, range }) => warning(message, { place: placed(range) })),
    ...ambiguousActions(schema, placeOf),
    ...[...schema.actions.values()].flatMap(action => badContext(action, placeOf(action))),
    ...actingAttributes(schema, placeOf),
  ]
  return { schema: { text: file.text, json: parsed.json, schema, placeOf }, diagnostics }
}

/** A request names an action by its id alone. */
const ambiguousActions = (schema: Schema, placeOf: (action: ActionType) => Place): Diagnostic[] => {
  const byId = Map.groupBy(schema.actions.values(), action => action.uid.id)
  return [...byId.values()].flatMap(same => {
    const [first] = same
    if (first === undefined || same.length === 1) return []
    const names = same.map(({ uid }) => `${uid.type}::${JSON.stringify(uid.id)}`).join(' and ')
    const hint = 'a request names an action by its id alone, so ids must differ over all namespaces'
    return [error(`${names} have the same id`, { place: placeOf(first), hint })]
  })
}

/** Among the properties that come with a subject, `act` is no attribute. */
const actingAttributes = (schema: Schema, placeOf: (action: ActionType) => Place): Diagnostic[] => {
  const named = new Map<string, ActionType>()
  for (const action of schema.actions.values()) {
    for (const type of action.principals) if (!named.has(type)) named.set(type, action)
  }
  const hint = "in a request a subject's property act names the agent that acts for it: call the attribute otherwise"
  return [...named]
    .filter(([type]) => schema.entityTypes.get(type)?.shape.attributes.has('act'))
    .map(([type, action]) => error(`${type} has an attribute act`, { place: placeOf(action), hint }))
}

const badContext = ({ uid, context }: ActionType, place: Place): Diagnostic[] => {
  const complain = (problem: string, hint: string) =>
    error(`action ${JSON.stringify(uid.id)}: ${problem}`, { place, hint })
  const members = Object.entries(contextMembers).map(([name, kind]) => `${name} (${kind})`)
  const diagnostics = [...context.attributes].flatMap(([name, { type }]) => {
    const kind = Object.hasOwn(contextMembers, name) ? contextMembers[name] : undefined
    if (kind === undefined) {
      return [
        complain(
          `context.${name} is nothing that a context has`,
          `it has ${members.join(', ')}; what a caller sends goes into arguments`,
        ),
      ]
    }
    return type.kind === kind ? [] : [complain(`context.${name} is a ${type.kind}`, `declare it as a ${kind}`)]
  })
  if (context.open) diagnostics.push(complain('its context is open', 'declare all of its members'))
  return [...diagnostics, ...badArguments(context, complain), ...badSession(context, complain)]
}

const badArguments = (context: RecordType, complain: (problem: string, hint: string) => Diagnostic): Diagnostic[] => {
  const declared = context.attributes.get('arguments')?.type
  if (declared?.kind !== 'record') return []
  const extra = declared.attributes.get('extra')?.type
  if (extra === undefined || extra.kind === 'string') return []
  return [complain('arguments.extra is not a String', 'extra holds the undeclared arguments, as JSON text')]
}

/** What the agent's object knows of a session. */
const sessionMembers: Readonly<Record<string, string>> = {
  startedAt: 'datetime',
  steps: 'Long',
  actions: 'Set<String>',
  resources: 'Set<String>',
  types: 'Set<String>',
  classes: 'Set<String>',
  level: 'Long',
  request: 'String',
  overdue: 'Long',
}

const badSession = (context: RecordType, complain: (problem: string, hint: string) => Diagnostic): Diagnostic[] => {
  const declared = context.attributes.get('session')?.type
  if (declared?.kind !== 'record') return []
  const all = Object.entries(sessionMembers).map(([name, type]) => `${name}: ${type}`)
  return [...declared.attributes].flatMap(([name, { type, required }]) => {
    const known = Object.hasOwn(sessionMembers, name) ? sessionMembers[name] : undefined
    const written = `context.session.${name}`
    if (known === undefined) return [complain(`${written} is nothing that a session has`, `it has ${all.join(', ')}`)]
    if (describe(type) !== known) return [complain(`${written} is a ${describe(type)}`, `declare it as ${known}`)]
    return required ? [] : [complain(`${written} is optional`, 'a session always has it: leave the question mark out')]
  })
}
