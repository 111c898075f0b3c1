import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, it, vi } from 'vitest'
import { arm, dueTable, type Handler, plan, runDue } from '../../src/durable/due.ts'
import { migrate } from '../../src/durable/schema.ts'

/** In the storage of an object that has no alarm of its own. */
const withStorage = (test: (storage: DurableObjectStorage) => Promise<void>): Promise<void> =>
  runInDurableObject(env.COLLECTOR.getByName(crypto.randomUUID()), async (_, { storage }) => {
    storage.sql.exec(dueTable)
    await test(storage)
    await storage.deleteAlarm()
  })

const HOUR = 3_600_000
const T = Date.now() + HOUR

const handler = (run: Handler['run'] = () => {}, next: Handler['next'] = () => undefined) => ({
  run: vi.fn(run),
  next: vi.fn(next),
})

it('the alarm is set to the earliest of what is due', () =>
  withStorage(async storage => {
    plan(storage, 'a', '', T + 2)
    expect(await storage.getAlarm()).toBe(T + 2)
    plan(storage, 'b', '', T + 1)
    expect(await storage.getAlarm()).toBe(T + 1)
    plan(storage, 'c', '', T + 3)
    expect(await storage.getAlarm()).toBe(T + 1)
  }))

it('and is taken back with the transaction that planned it', () =>
  withStorage(async storage => {
    plan(storage, 'a', '', T + 2)
    const fails = () =>
      storage.transactionSync(() => {
        plan(storage, 'b', '', T + 1)
        throw new Error('no')
      })
    expect(fails).toThrow('no')
    expect(await storage.getAlarm()).toBe(T + 2)
  }))

it('what is planned already stays as it is', () =>
  withStorage(async storage => {
    plan(storage, 'a', 'k', T)
    plan(storage, 'a', 'k', T - 5)
    expect(await storage.getAlarm()).toBe(T)
    plan(storage, 'a', 'other', T - 5)
    expect(await storage.getAlarm()).toBe(T - 5)
  }))

it('what is due is done, in order, and nothing else', () =>
  withStorage(async storage => {
    const done: string[] = []
    const a = handler(key => void done.push(key))
    for (const [key, at] of [
      ['third', T + 3],
      ['first', T],
      ['second', T + 1],
    ] as const)
      plan(storage, 'a', key, at)
    await runDue(storage, { a }, () => T + 2)
    expect(done).toEqual(['first', 'second'])
    expect(await storage.getAlarm()).toBe(T + 3)
    await runDue(storage, { a }, () => T + 3)
    expect(done).toEqual(['first', 'second', 'third'])
    expect(await storage.getAlarm()).toBeNull()
  }))

it('one that fails is put off, longer each time up to five minutes, and holds up no other', () =>
  withStorage(async storage => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    const bad = handler(() => Promise.reject(new Error('down')))
    const good = handler()
    plan(storage, 'bad', '', T)
    plan(storage, 'good', '', T + 1)
    let now = T + 1
    const waits: number[] = []
    for (let attempt = 0; attempt < 12; attempt++) {
      await runDue(storage, { bad, good }, () => now)
      const at = (await storage.getAlarm()) ?? 0
      waits.push(at - now)
      now = at
    }
    expect(bad.run).toHaveBeenCalledTimes(12)
    expect(bad.next).not.toHaveBeenCalled()
    expect(good.run).toHaveBeenCalledTimes(1)
    for (const [attempt, wait] of waits.entries()) {
      const most = Math.min(300_000, 2_000 * 2 ** attempt)
      expect(wait).toBeGreaterThanOrEqual(most / 2)
      expect(wait).toBeLessThanOrEqual(most)
    }
  }))

it('its attempts are forgotten once it succeeds', () =>
  withStorage(async storage => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    let down = true
    const a = handler(
      () => {
        if (down) throw new Error('down')
      },
      () => T + 100 * HOUR,
    )
    plan(storage, 'a', '', T)
    for (const hour of [0, 1, 2]) await runDue(storage, { a }, () => T + hour * HOUR)
    down = false
    await runDue(storage, { a }, () => T + 3 * HOUR)
    expect(await storage.getAlarm()).toBe(T + 100 * HOUR)
    down = true
    await runDue(storage, { a }, () => T + 100 * HOUR)
    expect(await storage.getAlarm()).toBeLessThanOrEqual(T + 100 * HOUR + 2_000)
  }))

it('the alarm is set for the next attempt before this one begins', () =>
  withStorage(async storage => {
    let during: number | null = null
    const a = handler(async () => {
      during = await storage.getAlarm()
    })
    plan(storage, 'a', '', T)
    await runDue(storage, { a }, () => T)
    expect(during).toBeGreaterThan(T)
  }))

it('work that comes while it runs is not forgotten', () =>
  withStorage(async storage => {
    let work = 1
    const a = handler(
      async () => {
        work = 0
        await storage.getAlarm()
        work++
        plan(storage, 'a', '', T + 5)
      },
      () => (work > 0 ? T + 9 : undefined),
    )
    plan(storage, 'a', '', T)
    await runDue(storage, { a }, () => T)
    expect(await storage.getAlarm()).toBe(T + 9)
  }))

it('an item that only newer code knows waits for it', () =>
  withStorage(async storage => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    plan(storage, 'new', '', T)
    await runDue(storage, {}, () => T)
    expect(await storage.getAlarm()).toBeGreaterThan(T)
  }))

it('a lost alarm is set again', () =>
  withStorage(async storage => {
    plan(storage, 'a', '', T)
    await storage.deleteAlarm()
    arm(storage)
    expect(await storage.getAlarm()).toBe(T)
  }))

it('schema steps run once each, also those that come later, and older code leaves newer ones alone', () =>
  withStorage(async storage => {
    await storage.deleteAll()
    const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y', 'CREATE TABLE b (z)']
    migrate(storage, steps.slice(0, 1))
    migrate(storage, steps)
    migrate(storage, steps)
    migrate(storage, steps.slice(0, 2))
    storage.sql.exec('INSERT INTO a (x, y) VALUES (1, 2)')
    expect(() => migrate(storage, [...steps, 'CREATE TABLE c (w)', 'nonsense'])).toThrow()
    expect(() => storage.sql.exec('SELECT * FROM c')).toThrow('no such table')
    storage.sql.exec(dueTable)
  }))
