import { env, exports } from 'cloudflare:workers'

/** The API's own description (OpenAPI), and answers held against it. */

export type Described = { paths: Record<string, Record<string, unknown>> }

export const described = async (): Promise<Described> =>
  (await exports.default.fetch(new Request(`${env.ORIGIN}/openapi.json`))).json<Described>()

/**
 * What of an answer isn't as the description of `path` (as OpenAPI writes it) says: nothing, where it fits. A member that
 * isn't told of doesn't fit either.
 */
export const unfit = async (method: string, path: string, response: Response): Promise<string[]> => {
  const json = await response.json()
  const steps = ['paths', path, method.toLowerCase(), 'responses', String(response.status), 'content']
  const content = steps.reduce<unknown>((place, step) => memberOf(place, step), await described())
  const schema = memberOf(memberOf(content, 'application/json'), 'schema')
  return schema === undefined ? [`${method} ${path} says nothing of ${response.status}`] : misfits(schema, json, '')
}

const memberOf = (of: unknown, name: string): unknown =>
  typeof of === 'object' && of !== null && name in of ? Reflect.get(of, name) : undefined

type Schema = {
  type?: string
  properties?: Record<string, unknown>
  required?: string[]
  additionalProperties?: unknown
  items?: unknown
  anyOf?: unknown[]
  enum?: unknown[]
  const?: unknown
  format?: string
  minimum?: number
  maximum?: number
  minItems?: number
  maxItems?: number
  minLength?: number
  maxLength?: number
  pattern?: string
}

/** Those that descriptions here have. Another one must not pass unseen. */
const KEYWORDS = new Set([
  ...['type', 'properties', 'required', 'additionalProperties', 'propertyNames', 'items', 'anyOf', 'enum', 'const'],
  ...['format', 'minimum', 'maximum', 'minItems', 'maxItems', 'minLength', 'maxLength', 'pattern', 'description'],
])

const misfits = (given: unknown, json: unknown, at: string): string[] => {
  const schema = given as Schema
  const unknown = Object.keys(schema).filter(keyword => !KEYWORDS.has(keyword))
  if (unknown.length > 0) return [`${at}: the description has ${unknown}, which isn't looked at`]
  if (schema.anyOf) {
    const each = schema.anyOf.map(one => misfits(one, json, at))
    return each.some(found => found.length === 0) ? [] : each.flat()
  }
  const wrong = (what: string) => [`${at}: ${JSON.stringify(json)} ${what}`]
  if ('const' in schema && json !== schema.const) return wrong(`is not ${schema.const}`)
  if (schema.enum && !schema.enum.includes(json)) return wrong('is none of those that there are')
  if (schema.type !== undefined && !isOf(schema.type, json)) return wrong(`is no ${schema.type}`)
  if (typeof json === 'string') {
    if (schema.format === 'date-time' && new Date(json).toISOString() !== json) return wrong('is no time in UTC')
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(json)) return wrong('has another form')
    return isWithin(json.length, schema.minLength, schema.maxLength) ? [] : wrong('has another length')
  }
  if (typeof json === 'number') return isWithin(json, schema.minimum, schema.maximum) ? [] : wrong('is out of range')
  if (Array.isArray(json)) {
    if (!isWithin(json.length, schema.minItems, schema.maxItems)) return wrong('has another length')
    return json.flatMap((one, index) => misfits(schema.items ?? {}, one, `${at}/${index}`))
  }
  if (typeof json !== 'object' || json === null) return []
  const { properties, required = [], additionalProperties = properties === undefined } = schema
  return [
    ...required.filter(name => !(name in json)).map(name => `${at}/${name} is missing`),
    ...Object.entries(json).flatMap(([name, value]) => {
      if (properties && Object.hasOwn(properties, name)) return misfits(properties[name], value, `${at}/${name}`)
      if (additionalProperties === true) return []
      return additionalProperties === false
        ? [`${at}/${name} is told of nowhere`]
        : misfits(additionalProperties, value, `${at}/${name}`)
    }),
  ]
}

const isOf = (type: string, json: unknown): boolean => {
  switch (type) {
    case 'null':
      return json === null
    case 'array':
      return Array.isArray(json)
    case 'object':
      return typeof json === 'object' && json !== null && !Array.isArray(json)
    case 'integer':
      return Number.isInteger(json)
    default:
      return typeof json === type
  }
}

const isWithin = (value: number, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): boolean =>
  value >= least && value <= most
