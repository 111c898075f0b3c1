import * as v from 'valibot'
import type { EntityJson } from '../../cedar/json.ts'
import { checkEntities } from './cedar.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import { parseJsonFile } from './json-file.ts'
import type { WrittenSchema } from './schema.ts'
import type { SourceText } from './source-text.ts'

const Uid = v.union([
  v.strictObject({ type: v.string(), id: v.string() }),
  v.strictObject({ __entity: v.strictObject({ type: v.string(), id: v.string() }) }),
])
const Record = v.record(v.string(), v.unknown())
const Entities = v.array(
  v.strictObject({
    uid: Uid,
    attrs: v.optional(Record, {}),
    parents: v.optional(v.array(Uid), []),
    tags: v.optional(Record),
  }),
)

/** Reads `entities.json` (Cedar's JSON form) and lets Cedar compare it with the schema. */
export const readEntities = (
  file: SourceText | undefined,
  schema: WrittenSchema | undefined,
): { entities: EntityJson[]; diagnostics: Diagnostic[] } => {
  if (file === undefined) return { entities: [], diagnostics: [] }
  const parsed = parseJsonFile(file, Entities)
  if (!parsed.ok) return { entities: [], diagnostics: parsed.diagnostics }
  // What was read from JSON is a Cedar value as far as types can tell; Cedar says below whether it is a right one.
  const entities = parsed.value as unknown as EntityJson[]
  if (schema === undefined) return { entities, diagnostics: [] }
  const together = checkEntities(schema.text, entities)
  if (together.length === 0) return { entities, diagnostics: [] }
  // Cedar stops at the first that is wrong and doesn't say where it stands: each on its own tells both.
  const alone = entities.flatMap((entity, index) =>
    checkEntities(schema.text, [entity]).map(({ message, hint }) =>
      error(plain(message), { place: parsed.placeOf(`/${index}`), hint }),
    ),
  )
  if (alone.length > 0) return { entities, diagnostics: alone }
  return { entities, diagnostics: together.map(({ message }) => error(plain(message), { place: parsed.placeOf('') })) }
}

const plain = (message: string): string =>
  message.replace(/^(entity does not conform to the schema|error during entity deserialization): /, '')
