/** One authenticated call to the Worker. */
export type Call = (
  url: string,
  init?: { method?: string; body?: unknown; key?: string; signal?: AbortSignal | undefined },
) => Promise<Response>

/** What a task's endpoint answers. */
export type TaskAnswer = {
  task: { id: string; status: string; status_endpoint: string; expires_at?: string }
  result?: { mode: string; approval?: unknown }
}

/** How long one call waits at the other side, in seconds. */
const HOLD = 25
const FIRST_MS = 2_000
const MOST_MS = 60_000

/**
 * Waits until a task is over. Each call is held back at the other side until something happens; where that can't be
 * (proxies, restarts), it asks again, later and later, as long as the task lives.
 */
export const untilOver = async (
  call: Call,
  task: TaskAnswer['task'],
  signal: AbortSignal | undefined,
): Promise<TaskAnswer> => {
  let seen: TaskAnswer = { task }
  let failures = 0
  while (seen.task.status === 'pending') {
    signal?.throwIfAborted()
    if (seen.task.expires_at !== undefined && Date.now() > Date.parse(seen.task.expires_at) + MOST_MS) break
    const started = Date.now()
    const response = await call(`${task.status_endpoint}?wait=${HOLD}`, { signal }).catch(failed => {
      if (signal?.aborted) throw failed
      return undefined
    })
    if (response?.ok) {
      seen = JSON.parse(await response.text())
      failures = 0
      // Held back as asked: the next may follow at once.
      if (seen.task.status !== 'pending' || Date.now() - started > (HOLD * 1000) / 2) continue
    } else if (response && response.status < 500 && response.status !== 429) {
      throw new Error(`${response.status} ${await response.text()}`)
    }
    await pause(Math.max(backoff(failures++), Number(response?.headers.get('retry-after') ?? 0) * 1000), signal)
  }
  return seen
}

const backoff = (failures: number): number => Math.min(MOST_MS, FIRST_MS * 2 ** failures) * (0.5 + Math.random() / 2)

const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms)
    function done() {
      signal?.removeEventListener('abort', stopped)
      resolve()
    }
    function stopped() {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stopped, { once: true })
  })
