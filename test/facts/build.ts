import * as v from 'valibot'
import { clock } from '../clock.ts'
import { createWorld, type Send, sign, type World } from '../http/world.ts'

/** A tenant of the fixture `truth`, its sources, and what an agent asks there. */
export const createTruth = async (change?: Parameters<typeof createWorld>[0]) => {
  const world = await createWorld({ folder: 'truth', ...change })
  const sourceToken = (source: string) => world.token({ sub: source, roles: ['source'], source })
  const push = async (source: string, facts: unknown[], send?: Send) => {
    const token = await sourceToken(source)
    const response = await world.post('/v1/facts', { facts }, { token, ...(send && { send }) })
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
    return v.parse(Pushed, await response.json()).facts
  }
  return {
    ...world,
    sourceToken,
    push,
    /** A new bundle. */
    pushBundle: world.push,
    attest: (source: string, facts: unknown[], more: Record<string, unknown> = {}, header = {}) =>
      sign(
        {
          iss: 'urn:countersign:development',
          aud: world.identifier,
          iat: seconds(),
          exp: seconds() + 300,
          jti: crypto.randomUUID(),
          source,
          facts,
          ...more,
        },
        undefined,
        { typ: 'facts+jwt', ...header },
      ),
  }
}
export type TruthWorld = Awaited<ReturnType<typeof createTruth>>

export const seconds = () => Math.floor(clock.now() / 1000)
export const at = (ms: number): string => new Date(clock.now() + ms).toISOString()

/** A statement about an order, observed a minute ago. */
export const total = (value: unknown, more: Record<string, unknown> = {}) => ({
  entity: { type: 'Order', id: '7' },
  predicate: 'total',
  value,
  observed_at: at(-60_000),
  valid_until: at(1_800_000),
  ...more,
})

export const ask = (
  name: string,
  properties: Record<string, unknown> = {},
  context: Record<string, unknown> = {},
  id = '7',
) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name, properties },
  resource: { type: 'Order', id },
  context,
})

export const secretsOf = async (world: Pick<World, 'receipts'>): Promise<Record<string, { value: unknown }>[]> =>
  (await world.receipts()).map(({ secrets }) => JSON.parse(secrets))

const Pushed = v.object({
  facts: v.array(
    v.object({
      status: v.string(),
      id: v.optional(v.string()),
      hash: v.optional(v.string()),
      reason: v.optional(v.string()),
      pointer: v.optional(v.string()),
      detail: v.optional(v.string()),
    }),
  ),
})
