import * as v from 'valibot'
import { readCheckpoint, readNote } from '../../audit/log/note.ts'
import { createVerifier, type Finding, type Verdict } from '../../audit/verify.ts'
import { command } from '../command.ts'
import { exit } from '../exit.ts'
import { paint, plural } from '../render.ts'
import { linesOf } from './lines.ts'
import { readSeen, remember, seenFile, seenOption } from './seen.ts'

/** Checks an export without a network: nothing but the file, the keys and what was seen before counts. */
export const verifyExport = command({
  summary: 'Check an export offline, and name the record that is wrong',
  args: ['FILE'],
  options: {
    key: {
      type: 'string',
      value: 'VKEYS',
      help: 'verifier keys to trust, several with commas (default: those seen before, else those that the export names)',
    },
    ...seenOption,
    json: { type: 'boolean', help: 'write JSON, for machines' },
  },
  examples: ['audit verify record.ndjson.gz', 'audit verify record.ndjson --key acme.example/log+1a2b3c4d+AQ…'],
  run: async ([file = ''], options) => {
    const seen = seenFile(options.seen)
    const lines = linesOf(file, 'verify')
    const first = await lines.next()
    const header = headerOf(first.done ? '' : first.value)
    const before = header && readSeen(seen)[header.origin]
    const given = options.key?.split(',').map(key => key.trim())
    const keys = given ?? before?.keys ?? header?.keys ?? []
    const remembered = before ? [{ size: before.size, root: Buffer.from(before.root, 'base64') }] : []
    const verifier = createVerifier(keys, remembered)
    if (!first.done) await verifier.line(first.value)
    for await (const line of lines) await verifier.line(line)
    const verdict = await verifier.end()
    const sound = verdict.findings.length === 0
    if (sound && verdict.checkpoint) remember(seen, verdict.checkpoint, verdict.signedBy)
    const trust = given ? 'given' : before ? 'seen before' : 'named by the export itself'
    if (options.json) console.log(JSON.stringify({ ok: sound, trust, ...told(verdict) }, null, 2))
    else console.log(report(verdict, trust, before?.size))
    return sound ? exit.ok : exit.refused
  },
})

const Header = v.object({ type: v.literal('export'), checkpoint: v.string(), keys: v.array(v.string()) })

const headerOf = (line: string): { origin: string; keys: string[] } | undefined => {
  try {
    const { checkpoint, keys } = v.parse(Header, JSON.parse(line))
    const origin = readCheckpoint(readNote(checkpoint)?.text ?? '')?.origin
    return origin === undefined ? undefined : { origin, keys }
  } catch {
    return undefined
  }
}

const told = ({ checkpoint, ...verdict }: Verdict) => ({
  ...verdict,
  ...(checkpoint && { checkpoint: { ...checkpoint, root: Buffer.from(checkpoint.root).toString('base64') } }),
})

const MOST = 50

const report = (
  { findings, receipts, chains, checkpoint, signedBy, from, to }: Verdict,
  trust: string,
  before?: number,
): string => {
  const range = from === 0 && to === checkpoint?.size ? 'the whole log' : `leaves ${from} to ${to - 1}`
  const lines = findings.slice(0, MOST).map(finding => `${paint(['bold', 'red'], 'wrong')}: ${describe(finding)}`)
  if (findings.length > MOST) lines.push(`and ${findings.length - MOST} more`)
  if (findings.length > 0)
    return [...lines, `${plural(findings.length, 'finding')} in ${plural(receipts, 'receipt')}`].join('\n')
  return [
    `${paint(['bold', 'green'], 'sound')}: ${plural(receipts, 'receipt')} on ${plural(chains, 'chain')}, ${range}`,
    `  checkpoint of ${checkpoint?.size} leaves, ${checkpoint?.origin}`,
    ...signedBy.map(key => `  signed with ${key} (${trust})`),
    before === undefined
      ? '  the first checkpoint of this log that was seen here'
      : `  continues the checkpoint of ${before} leaves seen before`,
  ].join('\n')
}

const describe = ({ problem, chain, seq, leaf }: Finding): string => {
  const place = [
    ...(seq === undefined ? [] : [`receipt ${seq} of chain ${chain}`]),
    ...(leaf === undefined ? [] : [`leaf ${leaf}`]),
  ].join(', ')
  return place === '' ? problem : `${place}: ${problem}`
}
