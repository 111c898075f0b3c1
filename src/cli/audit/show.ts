import * as v from 'valibot'
import { isObject } from '../../cedar/json.ts'
import { command } from '../command.ts'
import { CommandError, exit } from '../exit.ts'
import { paint } from '../render.ts'
import { clientFor, clientOptions } from './client.ts'
import { decisionOf, Receipt, said, tell } from './receipts.ts'

const Proof = v.object({ leaf: v.number(), proof: v.array(v.string()), checkpoint: v.string() })

/** The whole story of a decision. */
export const show = command({
  summary: 'Tell the story of one decision',
  args: ['ID'],
  options: { json: { type: 'boolean', help: 'write JSON, for machines' }, ...clientOptions },
  examples: ['audit show 019ab2c4-5d6e-7f80-91a2-b3c4d5e6f708'],
  run: async ([id = ''], options) => {
    const client = await clientFor(options)
    const path = `/v1/decisions/${encodeURIComponent(id)}`
    const receipt = await client.get(path, Receipt)
    if (!receipt) throw new CommandError(`no decision ${id} is on record`, exit.refused)
    const proof = await client.get(`${path}/proof`, Proof)
    if (options.json) console.log(JSON.stringify({ receipt, ...(proof && { log: proof }) }, null, 2))
    else console.log(story(receipt, proof))
    return exit.ok
  },
})

/** What stands for a time, a session or a quota in a receipt is for machines. */
const readable = (name: string, value: unknown): string => {
  if (TIMES.has(name) && typeof value === 'number') return new Date(value).toISOString()
  if (name === 'session' && isObject(value)) return `${value.seq}, ${value.hash}`
  if (name === 'quota' && isObject(value)) return `${value.left} of ${value.capacity} left by ${tell(value.policy)}`
  return tell(value)
}

const TIMES = new Set(['expires_at', 'wait_until'])
const LABELS: { readonly [name: string]: string } = {
  expires_at: 'permit until',
  session: 'session step',
  retry_after: 'again in seconds',
}

const story = (receipt: Receipt, proof: v.InferOutput<typeof Proof> | undefined): string => {
  const { body, secrets } = receipt
  const decision = decisionOf(receipt)
  const colour = decision?.outcome === 'allow' ? 'green' : 'red'
  const lines: [string, string | undefined][] = [
    ['agent', receipt.agent ?? undefined],
    ['for the user', said(receipt, 'user')],
    ['delegated by', Array.isArray(body.delegated_by) ? body.delegated_by.map(tell).join(', ') : undefined],
    ['said by', said(receipt, 'caller')],
    ['roles', Array.isArray(body.roles) ? body.roles.join(', ') : undefined],
    ['session', typeof body.session === 'string' ? body.session : undefined],
    ['action', typeof body.action === 'string' ? body.action : undefined],
    ['on', said(receipt, 'resource')],
    ['arguments', said(receipt, 'arguments')],
    ['asserted', said(receipt, 'asserted')],
    ['policies', decision?.policies.join(', ') || undefined],
    ['bundle', decision && `${decision.bundle.seq}, ${decision.bundle.hash}`],
    ...Object.entries(typeof body.decision === 'object' && body.decision ? body.decision : {})
      .filter(([name]) => !['evaluation_id', 'outcome', 'reason', 'policies', 'bundle'].includes(name))
      .map(([name, value]): [string, string] => [LABELS[name] ?? name.replaceAll('_', ' '), readable(name, value)]),
    ['receipt', `${receipt.seq} of chain ${receipt.chain}`],
    ['hash', receipt.hash],
    [
      'in the log',
      proof
        ? `leaf ${proof.leaf}, under a checkpoint of ${proof.checkpoint.split('\n')[1]}`
        : 'not under a checkpoint yet',
    ],
  ]
  const told = lines.filter((line): line is [string, string] => line[1] !== undefined)
  const width = Math.max(...told.map(([name]) => name.length))
  const head = decision
    ? `${paint(['bold', colour], decision.outcome)}, ${decision.reason}: ${decision.evaluation_id}`
    : receipt.kind
  const hidden = Object.keys(secrets).length === 0 ? ['  all that may be personal has been erased'] : []
  return [
    `${head}, at ${new Date(receipt.at).toISOString()}`,
    ...told.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    ...hidden,
  ].join('\n')
}
