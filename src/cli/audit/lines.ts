import { createReadStream, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { CommandError } from '../exit.ts'
import { progress } from './progress.ts'

type Lines = AsyncIterator<string> & AsyncIterable<string>

/** A file's lines, unpacked where it is packed, with a bar that says how far it has been read. `-` is what is piped in. */
export const linesOf = (file: string, what: string): Lines => {
  if (file === '-') return lines(process.stdin)
  let size: number
  try {
    size = statSync(file).size
  } catch {
    throw new CommandError(`there is no file ${file}`)
  }
  const bar = progress(what, size)
  let read = 0
  const raw: Readable = createReadStream(file)
  raw.on('data', chunk => {
    read += chunk.length
    bar.to(read)
  })
  raw.once('end', bar.end)
  return lines(file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw)
}

const lines = (input: Readable): Lines =>
  createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]()
