import { clearValue, type DecisionRecord, type Secrets } from './receipt.ts'

/** Receipts in the forms that other systems take in. */
export type Told = {
  chain: string
  seq: number
  kind: string
  at: number
  hash: string
  body: Record<string, unknown> & { decision?: DecisionRecord }
  secrets: Secrets
}

/** A CloudEvent (specification 1.0.2, JSON format). The link's hash makes its id: one receipt is one event. */
export const cloudEventOf = (receipt: Told, source: string): Record<string, unknown> => ({
  specversion: '1.0',
  id: receipt.hash,
  source,
  type: `countersign.receipt.${receipt.kind}`,
  subject: `${receipt.chain}/${receipt.seq}`,
  time: new Date(receipt.at).toISOString(),
  datacontenttype: 'application/json',
  data: receipt,
})

/**
 * An OCSF event (schema 1.5): API Activity with the security control profile, since an agent's action is a call that a
 * control let pass or not. Suspensions and the like are of the same class, with the agent as the resource.
 */
export const ocsfOf = (receipt: Told, source: string): Record<string, unknown> => {
  const { body, secrets, kind, at, hash, chain, seq } = receipt
  const { decision } = body
  const said = (name: string) => clearValue(secrets, name)
  const outcome = decision ? OUTCOMES[decision.outcome] : OUTCOMES.allow
  const agent = nameOf(body.agent)
  const user = said('user')
  const resource = decision ? (said('resource') ?? body.resource_type) : body.agent
  return {
    category_uid: 6,
    category_name: 'Application Activity',
    class_uid: 6003,
    class_name: 'API Activity',
    activity_id: 99,
    activity_name: decision ? body.action : kind,
    type_uid: 600_399,
    severity_id: decision?.outcome === 'deny' ? 2 : 1,
    time: at,
    message: decision
      ? `${agent} ${String(body.action)}: ${decision.outcome}, ${decision.reason}`
      : `${kind} of ${agent}`,
    action_id: outcome.action,
    disposition_id: outcome.disposition,
    status_id: outcome.action === 1 ? 1 : 2,
    status_code: decision?.reason,
    actor: {
      app_name: agent,
      user: { name: nameOf(user ?? said('caller') ?? agent), type_id: user === undefined ? 3 : 1 },
      ...(typeof body.session === 'string' && { session: { uid: body.session, issuer: body.issuer } }),
    },
    api: {
      operation: decision ? body.action : kind,
      service: { name: source },
      request: { uid: decision?.evaluation_id ?? hash },
    },
    src_endpoint: { name: agent },
    resources: [{ name: nameOf(resource), type: typeName(resource) }],
    ...(decision &&
      decision.policies.length > 0 && { policy: { uid: decision.policies.join(','), version: decision.bundle.hash } }),
    metadata: {
      version: '1.5.0',
      profiles: ['security_control'],
      product: { name: 'Countersign', vendor_name: 'Countersign' },
      uid: hash,
      sequence: seq,
      log_name: chain,
      ...(typeof body.request_id === 'string' && { correlation_uid: body.request_id }),
    },
    unmapped: { body },
  }
}

/** OCSF's action (1 allowed, 2 denied) and disposition (1 allowed, 2 blocked, 11 corrected, 14 delayed). */
const OUTCOMES = {
  allow: { action: 1, disposition: 1 },
  modify: { action: 1, disposition: 11 },
  deny: { action: 2, disposition: 2 },
  step_up: { action: 2, disposition: 14 },
  defer: { action: 2, disposition: 14 },
} as const satisfies Record<DecisionRecord['outcome'], { action: number; disposition: number }>

const nameOf = (value: unknown): string => {
  if (typeof value === 'string') return value
  const { type, id } = { type: '', id: '', ...(typeof value === 'object' ? value : {}) }
  return type === '' ? 'erased' : `${type}::${JSON.stringify(id)}`
}

const typeName = (value: unknown): string | undefined =>
  typeof value === 'object' && value !== null && 'type' in value ? String(value.type) : undefined
