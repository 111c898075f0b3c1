import { resolver } from 'hono-openapi'
import type * as v from 'valibot'

/** Pieces of OpenAPI descriptions that several routes share. */

/**
 * A schema's description. What valibot can't describe is any object here (`v.custom`), and so is what would hold itself
 * (`v.lazy`): nothing below it could be pointed to.
 */
const described = (schema: v.GenericSchema) =>
  resolver(schema, {
    options: {
      overrideSchema: ({ valibotSchema }: { valibotSchema: { type: string } }) =>
        valibotSchema.type === 'custom' || valibotSchema.type === 'lazy' ? { type: 'object' } : undefined,
    },
  })

/** Named once, in openapi.ts: nearly every answer may be one. */
const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }

const TITLES = {
  400: "The request's shape is wrong",
  401: 'No token, or one that was refused',
  403: "The token's roles don't cover the call",
  404: 'There is nothing here',
  409: 'The state has moved on',
  410: 'It is over',
  413: 'The body is too large',
  422: 'The Idempotency-Key was used with another request, or the answer would be too large',
  429: 'Too many attempts; not a decision',
  503: 'The control plane cannot answer now',
} as const

/** What a call that brings a token may also meet: the keys of its issuer can't be had, or the bundle can't. */
export const problems = (...statuses: (keyof typeof TITLES)[]) =>
  Object.fromEntries(
    [...statuses, ...(statuses.includes(401) ? [503 as const] : [])].map(status => [
      status,
      { description: TITLES[status], content: PROBLEM },
    ]),
  )

/** The parameters of a query. All of them are texts; what form one must have, its error says. */
export const inQuery = ({ entries }: { entries: v.ObjectEntries }) =>
  Object.entries(entries).map(([name, entry]) => {
    const options = optionsOf(entry)
    return {
      in: 'query' as const,
      name,
      required: entry.type !== 'optional',
      schema: { type: 'string' as const, ...(options && { enum: options }) },
    }
  })

const optionsOf = (schema: object): string[] | undefined => {
  if ('wrapped' in schema && typeof schema.wrapped === 'object' && schema.wrapped) return optionsOf(schema.wrapped)
  return 'options' in schema && Array.isArray(schema.options) ? schema.options.map(String) : undefined
}

export const jsonBody = (schema: v.GenericSchema) => ({
  required: true,
  content: { 'application/json': { schema: described(schema) } },
})

export const json = (description: string, schema: v.GenericSchema) => ({
  description,
  content: { 'application/json': { schema: described(schema) } },
})
