import { join, relative } from 'node:path'
import * as v from 'valibot'
import { unstable_readConfig as readConfig } from 'wrangler'
import { ROOT } from './build.ts'

/** What workerd is to run: paths of scripts, and what the Worker finds in its environment. */
export type Setting = {
  /** Where the config is written; its paths are relative to it. */
  dir: string
  scripts: { countersign: string; floors: string; kv: string; d1: string }
  vars: Record<string, string>
  /** What KV holds. */
  keys: Record<string, string>
}

/** Names of the sockets that workerd opens, each on a port of its choice. */
export const SOCKETS = ['countersign', 'floors', 'd1'] as const

/**
 * The config of one workerd that serves the Worker, the floors, and the stand-ins for KV and D1. It is written out
 * rather than left to miniflare, so that nothing stands between the socket and the Worker: no proxy, no wrapped
 * objects, no inspector. Bindings are made as wrangler's local mode makes them: a KV binding is HTTP to a service, D1
 * is workerd's own `d1-api` around HTTP to a service. Which there are is read from wrangler.toml.
 */
export const workerdConfig = ({ dir, scripts, vars, keys }: Setting): string => {
  const wrangler = v.parse(Wrangler, readConfig({ config: `${ROOT}/wrangler.toml` }, { hideWarnings: true }))
  const { compatibility_date: date, compatibility_flags: flags, durable_objects: objects } = wrangler
  const embed = (path: string) => `embed ${text(relative(dir, path))}`
  const worker = (script: string, members: string) =>
    `(modules = [(name = "index.js", esModule = ${embed(script)})], compatibilityDate = ${text(date)}, ${members})`
  const namespaces = (classes: readonly string[]) =>
    `durableObjectNamespaces = ${list(classes.map(name => `(className = ${text(name)}, uniqueKey = ${text(`bench-${name}`)}, enableSql = true)`))}, durableObjectStorage = (localDisk = "disk")`
  const objectBinding = (name: string, className: string) =>
    `(name = ${text(name)}, durableObjectNamespace = ${text(className)})`

  const countersign = [
    ...Object.entries({ ...wrangler.vars, ...vars }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
    ),
    ...objects.bindings.map(({ name, class_name }) => objectBinding(name, class_name)),
    ...wrangler.kv_namespaces.map(({ binding }) => `(name = ${text(binding)}, kvNamespace = "kv")`),
    ...wrangler.d1_databases.map(
      ({ binding }) =>
        `(name = ${text(binding)}, wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = "d1")]))`,
    ),
  ]
  const classes = objects.bindings.map(({ class_name }) => class_name)
  const services = [
    `(name = "countersign", worker = ${worker(scripts.countersign, `compatibilityFlags = ${list(flags.map(text))}, bindings = ${list(countersign)}, ${namespaces(classes)}`)})`,
    `(name = "floors", worker = ${worker(scripts.floors, `bindings = [${objectBinding('FLOOR', 'FloorObject')}], ${namespaces(['FloorObject'])}`)})`,
    `(name = "kv", worker = ${worker(scripts.kv, `bindings = [(name = "KEYS", json = ${text(JSON.stringify(keys))})]`)})`,
    `(name = "d1", worker = ${worker(scripts.d1, `bindings = [${objectBinding('DATABASE', 'DatabaseObject')}], ${namespaces(['DatabaseObject'])}`)})`,
    `(name = "disk", disk = (path = ${text(join(dir, 'objects'))}, writable = true))`,
    // nothing leaves this machine
    '(name = "internet", network = (allow = []))',
  ]
  const sockets = SOCKETS.map(
    name => `(name = ${text(name)}, address = "127.0.0.1:0", http = (), service = ${text(name)})`,
  )
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = ${list(services)},
  sockets = ${list(sockets)},
);
`
}

const Wrangler = v.object({
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  vars: v.record(v.string(), v.string()),
  durable_objects: v.object({ bindings: v.array(v.object({ name: v.string(), class_name: v.string() })) }),
  kv_namespaces: v.array(v.object({ binding: v.string() })),
  d1_databases: v.array(v.object({ binding: v.string() })),
})

const list = (items: readonly string[]): string => `[\n${items.map(item => `    ${item}`).join(',\n')}\n  ]`

/** A text literal: Cap'n Proto has C's escapes, and its texts are UTF-8. */
const text = (value: string): string =>
  `"${value.replace(/["\\]/g, '\\$&').replace(/\p{Cc}/gu, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`
