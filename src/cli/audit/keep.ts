import * as v from 'valibot'
import { command } from '../command.ts'
import { CommandError, exit } from '../exit.ts'
import { plural } from '../render.ts'
import { clientFor, clientOptions } from './client.ts'
import { linesOf } from './lines.ts'

const Archived = v.object({ bundles: v.number(), more: v.boolean() })
const Refilled = v.object({ chains: v.number(), next: v.optional(v.string()) })
const Restored = v.object({ receipts: v.number() })
const Line = v.looseObject({ type: v.string(), n: v.optional(v.number()) })

/** Moves what is beyond the retention out of D1. For a schedule: it does nothing where nothing is due. */
export const archive = command({
  summary: 'Move receipts beyond the retention from D1 to the bucket',
  args: [],
  options: clientOptions,
  examples: ['audit archive --url https://countersign.example --tenant acme'],
  run: async (_, options) => {
    const client = await clientFor(options, 'admin')
    let moved = 0
    for (;;) {
      const reply = v.parse(Archived, await (await post(client.fetch, '/v1/record/archive')).json())
      moved += reply.bundles
      if (!reply.more) break
    }
    console.log(moved === 0 ? 'nothing is beyond the retention' : `moved ${plural(moved, 'bundle')} of 256 receipts`)
    return exit.ok
  },
})

/** Brings receipts back to D1 from an export. The Worker takes only what its log vouches for. */
export const restore = command({
  summary: 'Write the receipts of an export back to D1',
  args: ['FILE'],
  options: clientOptions,
  examples: ['audit restore record.ndjson.gz'],
  run: async ([file = ''], options) => {
    const client = await clientFor(options, 'admin')
    let bundle: number | undefined
    let held: string[] = []
    let written = 0
    const send = async () => {
      if (bundle === undefined || held.length === 0) return
      const reply = await post(client.fetch, `/v1/record/restore/${bundle}`, held.join('\n'))
      written += v.parse(Restored, await reply.json()).receipts
    }
    for await (const line of linesOf(file, 'restore')) {
      if (line === '') continue
      const read = readLine(line)
      if (read.type === 'receipt') held.push(line)
      if (read.type !== 'bundle') continue
      await send()
      bundle = read.n
      held = []
    }
    await send()
    console.log(`${plural(written, 'receipt')} of the export are in D1`)
    return exit.ok
  },
})

/** After D1 was restored to an earlier time: the agents' objects send what they hold once more. */
export const refill = command({
  summary: 'Let the agents send again what D1 may have lost',
  args: [],
  options: clientOptions,
  examples: ['audit refill'],
  run: async (_, options) => {
    const client = await clientFor(options, 'admin')
    let chains = 0
    let after: string | undefined = ''
    while (after !== undefined) {
      const path: string = `/v1/record/refill?after=${encodeURIComponent(after)}`
      const reply: v.InferOutput<typeof Refilled> = v.parse(Refilled, await (await post(client.fetch, path)).json())
      chains += reply.chains
      after = reply.next
    }
    console.log(
      `${plural(chains, 'chain')} will send their receipts again, as far as they are kept; see \`audit list\``,
    )
    return exit.ok
  },
})

const post = async (
  call: (path: string, init?: RequestInit) => Promise<Response>,
  path: string,
  body?: string,
): Promise<Response> => {
  const response = await call(path, { method: 'POST', ...(body !== undefined && { body }) })
  if (response.ok) return response
  const { detail, title } = v.parse(
    v.object({ title: v.string(), detail: v.optional(v.string()) }),
    await response.json(),
  )
  throw new CommandError(detail ?? title, exit.failed)
}

const readLine = (line: string): v.InferOutput<typeof Line> => {
  try {
    return v.parse(Line, JSON.parse(line))
  } catch {
    throw new CommandError('this is not a file that `audit export` wrote', exit.refused)
  }
}
