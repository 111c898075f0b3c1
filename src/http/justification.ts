import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import type { AppEnv } from './types.ts'

/** What a request for approval must say where a policy wants a reason: `request_schema_url` of a denial leads here. */
export const justification = new Hono<AppEnv>().get(
  '/access/v1/request-schemas/justification.json',
  describeRoute({
    summary: 'What a request must say where a policy wants a reason (JSON Schema)',
    security: [],
    responses: { 200: { description: 'The schema', content: { 'application/schema+json': {} } } },
  }),
  c =>
    c.json(JUSTIFICATION, 200, {
      'content-type': 'application/schema+json',
      'cache-control': 'public, max-age=3600',
    }),
)

/** What a requester must add where a policy wants a reason (profile, Machine-Readable Forms). */
const JUSTIFICATION = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['context'],
  properties: {
    context: {
      type: 'object',
      required: ['business_justification'],
      properties: {
        business_justification: {
          type: 'string',
          minLength: 1,
          maxLength: 2_000,
          description: 'Why this should be approved. Shown to the approvers as the words of the requester.',
        },
      },
    },
    requested_access: {
      type: 'object',
      properties: { requested_until: { type: 'string', format: 'date-time' } },
    },
  },
}
