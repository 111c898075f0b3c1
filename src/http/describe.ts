import { resolver } from 'hono-openapi'
import * as v from 'valibot'
import { reasons } from '../decision/reasons.ts'

/** Pieces of OpenAPI descriptions that several routes share. */

/** A schema's description. Of what valibot can't describe, `v.custom`, there is one kind here: any object. */
const described = (schema: v.GenericSchema) =>
  resolver(schema, {
    options: {
      overrideSchema: ({ valibotSchema }: { valibotSchema: { type: string } }) =>
        valibotSchema.type === 'custom' ? { type: 'object' } : undefined,
    },
  })

export const Problem = v.object({
  type: v.string(),
  title: v.string(),
  status: v.number(),
  reason: v.picklist(Object.keys(reasons)),
  detail: v.optional(v.string()),
  pointer: v.optional(v.string()),
  retry_after: v.optional(v.number()),
})

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

export const problems = (...statuses: (keyof typeof TITLES)[]) =>
  Object.fromEntries(
    statuses.map(status => [
      status,
      { description: TITLES[status], content: { 'application/problem+json': { schema: described(Problem) } } },
    ]),
  )

export const jsonBody = (schema: v.GenericSchema) => ({
  required: true,
  content: { 'application/json': { schema: described(schema) } },
})

export const json = (description: string, schema: v.GenericSchema) => ({
  description,
  content: { 'application/json': { schema: described(schema) } },
})
