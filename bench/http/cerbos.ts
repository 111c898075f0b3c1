import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { EntityUid } from '../../src/cedar/json.ts'
import { post, type Target } from './load.ts'
import { type Running, start } from './process.ts'
import type { Agent, Ask, Scene } from './scene.ts'

/**
 * The Cerbos server under the same rules (cerbos/*.yaml) and the same questions. It verifies the agents' tokens by
 * their issuer's keys and logs each decision to a file, as it does in production; it has no state, so it holds no
 * limits, signs no permit, chains no receipts and answers before a decision is on disk. Attributes that our bundle has
 * come to it with each request, since it keeps no entities.
 */
export type Cerbos = Pick<Running, 'cpu' | 'stop'> & { target: Target }

export const startCerbos = async (dir: string, scene: Scene): Promise<Cerbos> => {
  const home = join(dir, 'cerbos')
  mkdirSync(home)
  const jwks = join(home, 'issuer.json')
  writeFileSync(jwks, JSON.stringify(scene.issuerJwks))
  const port = await freePort()
  const config = {
    server: {
      httpListenAddr: `127.0.0.1:${port}`,
      grpcListenAddr: `unix:${join(home, 'grpc.sock')}`,
      metricsEnabled: false,
    },
    storage: {
      driver: 'disk',
      disk: { directory: fileURLToPath(new URL('cerbos', import.meta.url)), watchForChanges: false },
    },
    auxData: { jwt: { keySets: [{ id: 'issuer', local: { file: jwks } }] } },
    audit: {
      enabled: true,
      decisionLogsEnabled: true,
      accessLogsEnabled: false,
      backend: 'file',
      file: { path: join(home, 'decisions.log') },
    },
    telemetry: { disabled: true },
  }
  // JSON is YAML.
  writeFileSync(join(home, 'config.yaml'), JSON.stringify(config))
  const args = ['server', `--config=${join(home, 'config.yaml')}`, '--log-level=error']
  const env = { PATH: process.env.PATH, HOME: home, CERBOS_NO_TELEMETRY: '1' }
  const running = start(binary(), args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    await healthy(port, running.ended)
    await deniesWhatItMust(port, scene)
    return { target: targetOf(port, scene), cpu: running.cpu, stop: running.stop }
  } catch (error) {
    await running.stop()
    throw new Error(`Cerbos did not start\n${running.output()}`, { cause: error })
  }
}

const binary = (): string => {
  try {
    return createRequire(import.meta.url).resolve('@cerbos/cerbos-linux-x64')
  } catch (cause) {
    throw new Error('the Cerbos binary is not here: npm has it for Linux on x64 alone', { cause })
  }
}

const CHECK = '/api/check/resources'

const targetOf = (port: number, scene: Scene): Target => ({
  name: 'Cerbos server',
  port,
  requests: scene.agents.map(agent => agent.asks.map(ask => post(CHECK, bodyOf(agent, ask, scene)))),
  isRight: body => body.includes('"EFFECT_ALLOW"'),
})

const bodyOf = (agent: Agent, { action, resource }: Ask, { entities }: Scene) => {
  const attributes = ({ type, id }: EntityUid) =>
    entities.find(({ uid }) => 'type' in uid && uid.type === type && uid.id === id)?.attrs
  const user = agent.user === undefined ? undefined : { type: 'User', id: agent.user }
  return {
    principal: {
      id: agent.name,
      roles: ['agent', 'support', 'customer-facing'],
      attr: {
        ...attributes({ type: 'Agent', id: agent.name }),
        ...(user && { user: { ...attributes(user), teams: ['support', 'everyone'] } }),
      },
    },
    resources: [
      {
        actions: [action.name],
        resource: {
          kind: resource.type,
          id: resource.id,
          attr: { ...attributes(resource), arguments: action.properties ?? {} },
        },
      },
    ],
    auxData: { jwt: { token: agent.token } },
  }
}

/** A server that allows everything would be fast. */
const deniesWhatItMust = async (port: number, scene: Scene): Promise<void> => {
  const [first, second] = scene.agents
  if (!first || !second) throw new Error('the scene has no agents')
  const card: Ask = {
    action: { name: 'viewCustomer', properties: { fields: ['name', 'cardNumber'] } },
    resource: { type: 'Customer', id: 'c-17' },
  }
  const borrowed = { ...first, token: second.token }
  const wrong = [bodyOf(first, card, scene), ...borrowed.asks.map(ask => bodyOf(borrowed, ask, scene))]
  for (const body of wrong) {
    const text = await answer(port, CHECK, body)
    if (!text.includes('EFFECT_DENY')) throw new Error(`Cerbos doesn't deny what it must: ${text}`)
  }
}

const answer = async (port: number, path: string, body: object): Promise<string> => {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  return response.text()
}

const healthy = async (port: number, ended: Promise<unknown>): Promise<void> => {
  let over = false
  void ended.then(() => {
    over = true
  })
  for (let tries = 0; tries < 100 && !over; tries++) {
    const response = await fetch(`http://127.0.0.1:${port}/_cerbos/health`).catch(() => undefined)
    if (response?.ok) return
    await sleep(200)
  }
  throw new Error('it does not answer')
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
