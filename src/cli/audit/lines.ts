import { createReadStream, type Stats, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { CommandError, exit } from '../exit.ts'
import { progress } from './progress.ts'

type Lines = AsyncGenerator<string, void>

/** A file's lines, unpacked where it is packed, with a bar that says how far it has been read. `-` is what is piped in. */
export const linesOf = (file: string, what: string): Lines => {
  if (file === '-') return lines(process.stdin, 'standard input')
  const { size } = statOf(file)
  const bar = progress(what, size)
  let read = 0
  const raw: Readable = createReadStream(file)
  raw.on('data', chunk => {
    read += chunk.length
    bar.to(read)
  })
  raw.once('end', bar.end)
  if (!file.endsWith('.gz')) return lines(raw, file)
  const unpacked = createGunzip()
  raw.once('error', error => unpacked.destroy(error))
  return lines(raw.pipe(unpacked), file)
}

const statOf = (file: string): Stats => {
  const stats = statSync(file, { throwIfNoEntry: false })
  if (!stats) throw new CommandError(`there is no file ${file}`)
  if (stats.isDirectory()) throw new CommandError(`${file} is a folder`)
  return stats
}

async function* lines(input: Readable, named: string): Lines {
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(`${named} can't be read: ${why}`, exit.refused)
  }
}
