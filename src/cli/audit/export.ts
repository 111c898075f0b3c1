import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import * as v from 'valibot'
import { cloudEventOf, ocsfOf } from '../../audit/formats.ts'
import type { ExportHeader } from '../../audit/log/lines.ts'
import { readCheckpoint, readNote } from '../../audit/log/note.ts'
import { WIDTH } from '../../audit/log/tiles.ts'
import { command } from '../command.ts'
import { CommandError, exit } from '../exit.ts'
import { type Client, clientFor, clientOptions } from './client.ts'
import { progress } from './progress.ts'
import { readSeen, seenFile, seenOption } from './seen.ts'

const formats = ['ndjson', 'ocsf', 'cloudevents'] as const
type Format = (typeof formats)[number]

const Log = v.object({ checkpoint: v.optional(v.string()), keys: v.array(v.string()) })
const Line = v.looseObject({ type: v.string() })
const ReceiptLine = v.looseObject({
  chain: v.string(),
  seq: v.number(),
  kind: v.string(),
  at: v.number(),
  hash: v.string(),
  body: v.record(v.string(), v.unknown()),
  secrets: v.record(v.string(), v.object({ salt: v.string(), value: v.unknown() })),
})

/** Writes the record of a tenant, with all that is needed to verify it offline. */
export const exportRecord = command({
  summary: 'Write the record to a file that proves itself',
  args: ['FILE'],
  options: {
    format: { type: 'string', value: 'FORMAT', help: `${formats.join(', ')} (default ndjson, which verify reads)` },
    from: { type: 'string', value: 'LEAF', help: 'leave out what is below this leaf of the log (a multiple of 256)' },
    source: { type: 'string', value: 'WHERE', help: "d1 (default), or agents: what the agents' objects hold" },
    ...seenOption,
    ...clientOptions,
  },
  examples: [
    'audit export record.ndjson.gz',
    'audit export - --format ocsf',
    'audit export own.ndjson --source agents',
  ],
  run: async ([file = ''], options) => {
    const format = formats.find(known => known === (options.format ?? 'ndjson'))
    if (!format)
      throw new CommandError(`there is no format ${options.format}`, exit.usage, `there are ${formats.join(', ')}`)
    const from = Number(options.from ?? 0)
    if (!Number.isInteger(from) || from < 0 || from % WIDTH !== 0)
      throw new CommandError(`--from ${options.from} is not a multiple of ${WIDTH}`)
    const client = await clientFor(options)
    const source = options.source ?? 'd1'
    const lines = linesOf(client, { format, from, source, seen: seenFile(options.seen) })
    const out = file === '-' ? process.stdout : createWriteStream(file, { mode: 0o600 })
    try {
      if (file.endsWith('.gz')) await pipeline(Readable.from(lines), createGzip(), out)
      else await pipeline(Readable.from(lines), out, { end: file !== '-' })
    } catch (error) {
      throw isOfSystem(error) ? new CommandError(`${file} can't be written: ${error.message}`, exit.usage) : error
    }
    return exit.ok
  },
})

/** Everything else that can go wrong is told by whoever met it. */
const isOfSystem = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'syscall' in error

type Wanted = { format: Format; from: number; source: string; seen: string }

async function* linesOf(client: Client, { format, from, source, seen }: Wanted): AsyncGenerator<string> {
  const log = await client.get('/v1/log', Log)
  const checkpoint = readCheckpoint(readNote(log?.checkpoint ?? '')?.text ?? '')
  if (!log?.checkpoint || !checkpoint) throw new CommandError('the log has no checkpoint yet', exit.failed)
  const { size, origin } = checkpoint
  if (format === 'ndjson') {
    const header: ExportHeader = {
      type: 'export',
      v: 1,
      tenant: client.tenant,
      from,
      to: size,
      checkpoint: log.checkpoint,
      keys: log.keys,
    }
    yield `${JSON.stringify(header)}\n`
    const before = readSeen(seen)[origin]?.size
    if (before !== undefined && before > 0 && before < size) {
      const proof = await client.get(
        `/v1/log/consistency?from=${before}&to=${size}`,
        v.object({ proof: v.array(v.string()) }),
      )
      if (proof) yield `${JSON.stringify({ type: 'consistency', from: before, proof: proof.proof })}\n`
    }
  }
  const bar = progress('export', size - from)
  for (let n = from / WIDTH; n * WIDTH < size; n++) {
    const page = await client.fetch(`/v1/log/bundles/${n}?size=${size}&source=${encodeURIComponent(source)}`)
    if (page.status === 404) throw new CommandError(`bundle ${n} of the log is gone`, exit.failed)
    const text = await page.text()
    yield format === 'ndjson' ? text : eventsOf(text, format, client.identifier)
    bar.to(Math.min(size, (n + 1) * WIDTH) - from)
  }
  bar.end()
}

/** The receipts among an export's lines as events. One that can't be read stops the export: it would be left out silently. */
const eventsOf = (text: string, format: Exclude<Format, 'ndjson'>, source: string): string =>
  text
    .split('\n')
    .filter(line => line !== '' && v.parse(Line, JSON.parse(line)).type === 'receipt')
    .map(line => {
      const read = v.safeParse(ReceiptLine, JSON.parse(line))
      if (!read.success)
        throw new CommandError(`a receipt is damaged: ${line.slice(0, 120)}`, exit.failed, 'run audit verify')
      const { chain, seq, kind, at, hash, body, secrets } = read.output
      const told = { chain, seq, kind, at, hash, body, secrets }
      return `${JSON.stringify(format === 'ocsf' ? ocsfOf(told, source) : cloudEventOf(told, source))}\n`
    })
    .join('')
