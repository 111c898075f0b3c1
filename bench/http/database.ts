import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { ROOT } from './build.ts'

/** The stand-in for D1, asked from outside. */

export const migrate = async (port: number): Promise<void> => {
  const folder = join(ROOT, 'migrations')
  for (const file of readdirSync(folder)
    .filter(name => name.endsWith('.sql'))
    .sort()) {
    const statements = readFileSync(join(folder, file), 'utf8').split('--> statement-breakpoint')
    await query(
      port,
      statements.map(sql => sql.trim()).filter(sql => sql !== ''),
    )
  }
}

/** Waits until so many receipts have arrived, for half a minute at most; returns how many have. */
export const arrived = async (port: number, expected: number): Promise<number> => {
  const count = async () =>
    v.parse(Count, await query(port, ['SELECT count(*) AS count FROM receipts']))[0].results[0].count
  let found = await count()
  for (let tries = 0; tries < 100 && found < expected; tries++) {
    await sleep(300)
    found = await count()
  }
  return found
}

const Count = v.tuple([v.object({ results: v.tuple([v.object({ count: v.number() })]) })])

/** Rows of one statement. */
export const rowsOf = async <S extends v.GenericSchema>(
  port: number,
  sql: string,
  row: S,
): Promise<v.InferOutput<S>[]> =>
  v.parse(v.tuple([v.object({ results: v.array(row) })]), await query(port, [sql]))[0].results

const query = async (port: number, statements: readonly string[]): Promise<unknown> => {
  const body = JSON.stringify(statements.map(sql => ({ sql })))
  const response = await fetch(`http://127.0.0.1:${port}/query`, { method: 'POST', body })
  if (!response.ok) throw new Error(`the database: ${await response.text()}`)
  return response.json()
}
