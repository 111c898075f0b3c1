import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { countersign, startWorker, wrangler } from '../../examples/local.ts'

/**
 * A whole Worker on this machine with the policies of test/fixtures/approvals, and a receiver of its webhooks. Its state
 * outlives it, so that it can be killed and started again.
 */
export type Message = { path: string; headers: IncomingHttpHeaders; body: string }

export const createLocal = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-approvals-'))
  const state = join(folder, 'state')
  const receiver = await createReceiver()
  await cp('test/fixtures/approvals', join(folder, 'policies'), { recursive: true })
  const file = join(folder, 'policies', 'tenant.json')
  const tenant = JSON.parse(await readFile(file, 'utf8'))
  tenant.outgoing = [`127.0.0.1:${receiver.port}`]
  for (const [name, webhook] of Object.entries<{ url: string }>(tenant.webhooks))
    webhook.url = `http://127.0.0.1:${receiver.port}/${name}`
  await writeFile(file, JSON.stringify(tenant))
  await countersign('setup')
  await wrangler('d1', 'migrations', 'apply', 'countersign', '--local', '--persist-to', state)
  await countersign('push', join(folder, 'policies'), '--local', '--persist-to', state)
  let worker = await startWorker(state)
  const port = Number(new URL(worker.origin).port)
  const tokens = new Map<string, string>()

  const token = async (...options: string[]): Promise<string> => {
    const key = options.join(' ')
    const known = tokens.get(key)
    if (known !== undefined) return known
    const made = await countersign(
      'token',
      '--tenant',
      'approving',
      '--origin',
      worker.origin,
      '--ttl',
      '8h',
      ...options,
    )
    tokens.set(key, made.trim())
    return made.trim()
  }

  return {
    origin: worker.origin,
    receiver,
    token,
    call: async (path: string, bearer: string, body?: unknown, headers: Record<string, string> = {}) =>
      fetch(path.startsWith('http') ? path : `${worker.origin}/approving${path}`, {
        headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...headers },
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      }),
    /** Killed where it stands, and started again on the same state. */
    restart: async () => {
      await worker.kill()
      worker = await startWorker(state, port)
    },
    kill: () => worker.kill(),
    start: async () => {
      worker = await startWorker(state, port)
    },
    close: async () => {
      await worker.stop()
      receiver.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const createReceiver = async () => {
  const messages: Message[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    messages.push({ path: request.url ?? '', headers: request.headers, body })
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, messages, close: () => server.close() }
}
