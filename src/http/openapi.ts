import type { Hono } from 'hono'
import { openAPIRouteHandler } from 'hono-openapi'
import { reasons } from '../decision/reasons.ts'
import type { AppEnv } from './types.ts'

/** Describes the API to machines (OpenAPI 3.1), from what each route says of itself. */
export const openapi = (app: Hono<AppEnv>) =>
  openAPIRouteHandler(app, { documentation: DOCUMENTATION, excludeStaticFile: false })

const DOCUMENTATION: NonNullable<NonNullable<Parameters<typeof openAPIRouteHandler>[1]>['documentation']> = {
  info: {
    title: 'Countersign',
    version: '1',
    description: 'Decisions about what autonomous agents may do, on record.',
  },
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    schemas: {
      // What every refusal looks like (RFC 9457).
      Problem: {
        type: 'object',
        properties: {
          type: { type: 'string' },
          title: { type: 'string' },
          status: { type: 'number' },
          reason: { type: 'string', enum: Object.keys(reasons) },
          detail: { type: 'string' },
          pointer: { type: 'string', description: 'RFC 6901: the place in the body; of a query, the parameter' },
          retry_after: { type: 'number', description: 'Whole seconds' },
        },
        required: ['type', 'title', 'status', 'reason'],
      },
    },
  },
  security: [{ token: [] }],
}
