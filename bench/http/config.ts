import { mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import * as v from 'valibot'
import { unstable_readConfig as readConfig } from 'wrangler'
import { ROOT } from './build.ts'

/** What the two workerd are to run: paths of scripts, and what the Worker finds in its environment. */
export type Setting = {
  /** Where the configs are written; their paths are relative to it. */
  dir: string
  scripts: { countersign: string; floors: string; kv: string; d1: string; r2: string }
  vars: Record<string, string>
  /** What KV holds. */
  keys: Record<string, string>
}

/** A config, and the names of the sockets that it opens, each on a port of its choice. */
export type Config<Socket extends string> = { text: string; sockets: readonly Socket[] }

/**
 * The config of one workerd that serves the Worker, the floors, and the stand-in for KV. It is written out rather than
 * left to miniflare, so that nothing stands between the socket and the Worker: no proxy, no wrapped objects, no
 * inspector. Bindings are made as wrangler's local mode makes them: KV and R2 bindings are HTTP to a service, D1 is
 * workerd's own `d1-api` around HTTP to a service. Which there are is read from wrangler.toml. D1 and R2 are other
 * machines in production, so here they are another process, at `ports`.
 */
export const workerConfig = (
  { dir, scripts, vars, keys }: Setting,
  ports: Record<'d1' | 'r2', number>,
): Config<'countersign' | 'floors'> => {
  const { worker, namespaces, disk } = writer(dir, 'worker')
  const bindings = [
    ...Object.entries({ ...wrangler.vars, ...vars }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
    ),
    ...objects.map(({ name, class_name }) => objectBinding(name, class_name)),
    ...wrangler.kv_namespaces.map(({ binding }) => `(name = ${text(binding)}, kvNamespace = "kv")`),
    ...wrangler.r2_buckets.map(({ binding }) => `(name = ${text(binding)}, r2Bucket = "r2")`),
    ...wrangler.d1_databases.map(
      ({ binding }) =>
        `(name = ${text(binding)}, wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = "d1")]))`,
    ),
  ]
  const flags = `compatibilityFlags = ${list(wrangler.compatibility_flags.map(text))}`
  const classes = objects.map(({ class_name }) => class_name)
  const far = (name: 'd1' | 'r2') =>
    `(name = ${text(name)}, external = (address = "127.0.0.1:${ports[name]}", http = ()))`
  return config(
    [
      worker('countersign', scripts.countersign, `${flags}, bindings = ${list(bindings)}, ${namespaces(classes)}`),
      worker(
        'floors',
        scripts.floors,
        `bindings = [${objectBinding('FLOOR', 'FloorObject')}], ${namespaces(['FloorObject'])}`,
      ),
      worker('kv', scripts.kv, `bindings = [(name = "KEYS", json = ${text(JSON.stringify(keys))})]`),
      far('d1'),
      far('r2'),
      disk,
    ],
    ['countersign', 'floors'],
  )
}

/** The config of the workerd that stands in for D1 and R2. */
export const cloudConfig = ({ dir, scripts }: Setting): Config<'d1' | 'r2'> => {
  const { worker, namespaces, disk } = writer(dir, 'cloud')
  const store = (name: string, className: string) =>
    `bindings = [${objectBinding(name, className)}], ${namespaces([className])}`
  return config(
    [
      worker('d1', scripts.d1, store('DATABASE', 'DatabaseObject')),
      worker('r2', scripts.r2, store('BUCKET', 'BucketObject')),
      disk,
    ],
    ['d1', 'r2'],
  )
}

const Wrangler = v.object({
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  vars: v.record(v.string(), v.string()),
  durable_objects: v.object({ bindings: v.array(v.object({ name: v.string(), class_name: v.string() })) }),
  kv_namespaces: v.array(v.object({ binding: v.string() })),
  r2_buckets: v.array(v.object({ binding: v.string() })),
  d1_databases: v.array(v.object({ binding: v.string() })),
})
const wrangler = v.parse(Wrangler, readConfig({ config: `${ROOT}/wrangler.toml` }, { hideWarnings: true }))
const objects = wrangler.durable_objects.bindings

/** Services of one process, whose objects lie in a folder of their own. */
const writer = (dir: string, process: string) => {
  const date = `compatibilityDate = ${text(wrangler.compatibility_date)}`
  const worker = (name: string, script: string, members: string) =>
    `(name = ${text(name)}, worker = (modules = [(name = "index.js", esModule = embed ${text(relative(dir, script))})], ${date}, ${members}))`
  const namespaces = (classes: readonly string[]) =>
    `durableObjectNamespaces = ${list(classes.map(name => `(className = ${text(name)}, uniqueKey = ${text(`bench-${name}`)}, enableSql = true)`))}, durableObjectStorage = (localDisk = "disk")`
  const folder = join(dir, 'objects', process)
  mkdirSync(folder, { recursive: true })
  return { worker, namespaces, disk: `(name = "disk", disk = (path = ${text(folder)}, writable = true))` }
}

const objectBinding = (name: string, className: string) =>
  `(name = ${text(name)}, durableObjectNamespace = ${text(className)})`

const config = <Socket extends string>(services: readonly string[], sockets: readonly Socket[]): Config<Socket> => {
  // nothing leaves this machine
  const internet = '(name = "internet", network = (allow = []))'
  const open = sockets.map(
    name => `(name = ${text(name)}, address = "127.0.0.1:0", http = (), service = ${text(name)})`,
  )
  return {
    text: `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = ${list([...services, internet])},
  sockets = ${list(open)},
);
`,
    sockets,
  }
}

const list = (items: readonly string[]): string => `[\n${items.map(item => `    ${item}`).join(',\n')}\n  ]`

/** A text literal: Cap'n Proto has C's escapes, and its texts are UTF-8. */
const text = (value: string): string =>
  `"${value.replace(/["\\]/g, '\\$&').replace(/\p{Cc}/gu, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`
