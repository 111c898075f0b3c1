import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import * as v from 'valibot'
import { TenantName } from '../policy/tenant.ts'
import { CommandError } from './exit.ts'
import { createWrangler, type Wrangler } from './wrangler.ts'

/** The options of every command that reads or writes what Workers read. */
export const targetOptions = {
  local: { type: 'boolean', help: "this machine's state, also while `wrangler dev` runs" },
  remote: { type: 'boolean', help: 'Cloudflare' },
  'persist-to': { type: 'string', value: 'DIR', help: 'with --local: where the state lies, as for `wrangler dev`' },
  config: { type: 'string', value: 'FILE', help: 'another wrangler.toml' },
} as const

export const tenantOption = {
  tenant: { type: 'string', value: 'NAME', help: 'the tenant (default acme)' },
} as const

export const originOption = {
  origin: { type: 'string', value: 'URL', help: 'the origin of the Worker (default http://127.0.0.1:8787)' },
} as const

export const writerOptions = {
  by: { type: 'string', value: 'NAME', help: 'who does it, for the history (default: your user name)' },
  note: { type: 'string', value: 'TEXT', help: 'why, for the history' },
} as const

type Target = { local?: boolean; remote?: boolean; 'persist-to'?: string; config?: string }

export const wranglerFor = ({ local, remote, 'persist-to': persistTo, config }: Target): Wrangler => {
  if (local === remote) throw new CommandError('say where: --local or --remote')
  if (remote && persistTo !== undefined) throw new CommandError('--persist-to goes with --local only')
  return createWrangler({
    where: remote ? 'remote' : 'local',
    persistTo: persistTo === undefined ? undefined : resolve(persistTo),
    config: config === undefined ? undefined : resolve(config),
  })
}

export const tenantNamed = (name = 'acme'): string => {
  const parsed = v.safeParse(TenantName, name)
  if (!parsed.success) throw new CommandError(`${name}: ${parsed.issues[0].message}`)
  return parsed.output
}

export const writerNamed = (by: string | undefined): string => by ?? userInfo().username

/** Where a Worker is, from the option of that name. */
export const originNamed = (text: string, option: string): string => {
  if (URL.canParse(text)) {
    const { origin, pathname } = new URL(text)
    if (pathname === '/' && origin !== 'null') return origin
  }
  throw new CommandError(`--${option} ${text} is not an origin such as http://127.0.0.1:8787`)
}
