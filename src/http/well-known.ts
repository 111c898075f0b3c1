import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { OBLIGATION_TYPES } from '../decision/obligations.ts'
import { publicJwks } from '../identity/keys.ts'
import { json } from './describe.ts'
import type { AppEnv } from './types.ts'

const Metadata = v.object({
  policy_decision_point: v.string(),
  access_evaluation_endpoint: v.string(),
  access_evaluations_endpoint: v.string(),
  access_request_endpoint: v.string(),
  jwks_uri: v.string(),
  capabilities: v.array(v.string()),
  /** AuthZEN Obligations Profile, draft 1. */
  supported_obligations: v.array(v.string()),
  search_subject_endpoint: v.string(),
  search_resource_endpoint: v.string(),
  search_action_endpoint: v.string(),
})

/** What anyone may read without a token. */
export const wellKnown = new Hono<AppEnv>()
  .get(
    '/.well-known/authzen-configuration',
    describeRoute({
      summary: 'Where the decision API is (AuthZEN Authorization API 1.0)',
      security: [],
      responses: { 200: json("The decision point's metadata", Metadata) },
    }),
    c => {
      const { base } = c.var.place
      return c.json({
        policy_decision_point: base,
        access_evaluation_endpoint: `${base}/access/v1/evaluation`,
        access_evaluations_endpoint: `${base}/access/v1/evaluations`,
        access_request_endpoint: `${base}/access/v1/requests`,
        jwks_uri: `${base}/.well-known/jwks.json`,
        capabilities: ['urn:openid:authzen:capability:access-request'],
        supported_obligations: OBLIGATION_TYPES,
        search_subject_endpoint: `${base}/access/v1/search/subject`,
        search_resource_endpoint: `${base}/access/v1/search/resource`,
        search_action_endpoint: `${base}/access/v1/search/action`,
      } satisfies v.InferOutput<typeof Metadata>)
    },
  )
  .get(
    '/.well-known/jwks.json',
    describeRoute({
      summary: 'The public keys of permits (RFC 7517)',
      security: [],
      responses: { 200: json('The keys', v.object({ keys: v.array(v.record(v.string(), v.unknown())) })) },
    }),
    async c => c.json(await publicJwks(c.env), 200, { 'cache-control': 'public, max-age=300' }),
  )
  .get(
    '/healthz',
    describeRoute({
      summary: 'Whether the Worker answers',
      security: [],
      responses: { 200: json('It does', v.object({ ok: v.literal(true) })) },
    }),
    c => c.json({ ok: true }),
  )
