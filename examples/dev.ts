import { once } from 'node:events'
import { countersign, startWorker, wrangler } from './local.ts'

/** The Worker with the example tenant, kept running until it is interrupted; state stays in `.wrangler/state`. */
const STATE = '.wrangler/state'

await countersign('setup')
await wrangler('d1', 'migrations', 'apply', 'countersign', '--local', '--persist-to', STATE)
const worker = await startWorker(STATE, Number(process.env.PORT ?? 8787), text => process.stderr.write(text))
const pushed = await countersign('push', 'policies', '--local', '--persist-to', STATE)
console.log(`${pushed.trimEnd()}\n\nCountersign runs at ${worker.origin}; Ctrl-C ends it.`)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await worker.stop()
