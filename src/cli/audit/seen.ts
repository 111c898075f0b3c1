import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import type { Checkpoint } from '../../audit/log/note.ts'
import { CommandError } from '../exit.ts'

/**
 * What this machine has seen of logs: the last checkpoint of each, and the keys that signed it. A log that is later
 * shown otherwise has been rewritten, whoever signed it.
 */
export type Seen = { size: number; root: string; keys: string[] }

export const seenOption = {
  seen: {
    type: 'string',
    value: 'FILE',
    help: 'checkpoints seen before (default ~/.countersign/checkpoints.json)',
  },
} as const

const Shape = v.record(v.string(), v.object({ size: v.number(), root: v.string(), keys: v.array(v.string()) }))

export const seenFile = (file: string | undefined): string =>
  file ?? join(homedir(), '.countersign', 'checkpoints.json')

export const readSeen = (file: string): Record<string, Seen> => {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return {}
  }
  try {
    return v.parse(Shape, JSON.parse(text))
  } catch {
    throw new CommandError(
      `${file} is not a file of checkpoints`,
      undefined,
      'move it away, or give another with --seen',
    )
  }
}

/** Never goes back: an older checkpoint that is consistent says less. */
export const remember = (file: string, { origin, size, root }: Checkpoint, keys: string[]): void => {
  const all = readSeen(file)
  if ((all[origin]?.size ?? -1) > size) return
  all[origin] = { size, root: Buffer.from(root).toString('base64'), keys }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`)
}
