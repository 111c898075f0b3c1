import { describe, expect, it } from 'vitest'
import { activationsOf } from '../../src/cli/activations.ts'
import { exit } from '../../src/cli/exit.ts'
import { activeOf, isActive, publish } from '../../src/cli/publish.ts'
import { rollBack } from '../../src/cli/rollback.ts'
import type { Wrangler } from '../../src/cli/wrangler.ts'
import { nameOf } from '../../src/durable/names.ts'
import { type Bundle, writeBundle } from '../../src/policy/bundle.ts'
import { createDouble } from './double.ts'
import { compileFiles } from './folder.ts'

const bundleOf = async (doc: string): Promise<{ body: string; hash: string; bundle: Bundle }> => {
  const { bundle } = await compileFiles({
    'rules.cedar': `@id("a") @doc("${doc}") permit (principal, action, resource);`,
  })
  if (bundle === undefined) throw new Error('the test folder has errors')
  return { ...writeBundle(bundle), bundle }
}
const one = await bundleOf('one')
const two = await bundleOf('two')
const as = (content: typeof one, by = 'ada') => ({ tenant: 'test', hash: content.hash, body: content.body, by })

describe('a push', () => {
  it('writes the row, the body and then the pointer', async () => {
    const { wrangler, writes } = createDouble()
    const row = await publish(wrangler, await activeOf(wrangler, 'test'), { ...as(one), note: "it's the first" })
    expect(writes).toEqual(['row', 'body', 'pointer'])
    const active = await activeOf(wrangler, 'test')
    expect(active).toEqual({ latest: row, pointer: { v: 1, seq: 1, hash: one.hash, pushed_at: row.pushed_at } })
    expect(row).toMatchObject({ seq: 1, pushed_by: 'ada', note: "it's the first" })
    expect(isActive(active, one.hash)).toBe(true)
    expect(isActive(active, two.hash)).toBe(false)
  })

  it('that races another gets the row, or writes nothing', async () => {
    const { wrangler, writes } = createDouble()
    const active = await activeOf(wrangler, 'test')
    const results = await Promise.allSettled([
      publish(wrangler, active, as(one, 'ada')),
      publish(wrangler, active, as(two, 'ben')),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(results[1]).toMatchObject({
      reason: { code: exit.lost, message: expect.stringContaining('another push came first') },
    })
    expect(writes.filter(write => write !== 'row')).toEqual(['body', 'pointer'])
    expect((await activationsOf(wrangler, 'test', 9)).map(({ pushed_by }) => pushed_by)).toEqual(['ada'])
    expect((await activeOf(wrangler, 'test')).pointer?.hash).toBe(one.hash)
  })

  it.each(['body', 'pointer'])(
    'that died at the %s leaves Workers what they have, and the next one recovers',
    async where => {
      const { wrangler, breakAt } = createDouble()
      await publish(wrangler, await activeOf(wrangler, 'test'), as(one))
      breakAt(where)
      await expect(publish(wrangler, await activeOf(wrangler, 'test'), as(two))).rejects.toThrow('cut off')
      const cut = await activeOf(wrangler, 'test')
      expect(cut).toMatchObject({ latest: { seq: 2, hash: two.hash }, pointer: { seq: 1, hash: one.hash } })
      expect(isActive(cut, two.hash), 'pushing the same again is not idle').toBe(false)
      breakAt(undefined)
      expect((await publish(wrangler, cut, as(two))).seq).toBe(3)
      expect((await activeOf(wrangler, 'test')).pointer).toMatchObject({ seq: 3, hash: two.hash })
    },
  )

  it('that a later one overtakes leaves the pointer to that one, and says so', async () => {
    const { wrangler } = createDouble()
    const active = await activeOf(wrangler, 'test')
    let overtaken = false
    const slow: Wrangler = {
      ...wrangler,
      kvPut: async (key, value) => {
        await wrangler.kvPut(key, value)
        if (overtaken) return
        overtaken = true
        await publish(wrangler, await activeOf(wrangler, 'test'), as(two, 'ben'))
      },
    }
    await expect(publish(slow, active, as(one, 'ada'))).rejects.toMatchObject({
      code: exit.lost,
      message: expect.stringContaining('activation 2 of test is active already'),
    })
    expect((await activeOf(wrangler, 'test')).pointer).toMatchObject({ seq: 2, hash: two.hash })
  })

  it('whose body does not come back as it was written leaves the pointer alone', async () => {
    const { wrangler, kv, writes } = createDouble()
    const lossy = {
      ...wrangler,
      kvPut: async (key: string, value: string) => wrangler.kvPut(key, value.replace('"two"', '"tow"')),
    }
    await expect(publish(lossy, {}, as(two))).rejects.toMatchObject({ code: exit.failed })
    expect(writes).toEqual(['row', 'body'])
    expect(kv.has(nameOf('pointer', 'test'))).toBe(false)
  })

  it('never goes back in seq, even where the database lost its history', async () => {
    const { wrangler, kv } = createDouble()
    for (const content of [one, two]) await publish(wrangler, await activeOf(wrangler, 'test'), as(content))
    const restored = createDouble()
    for (const [key, value] of kv) restored.kv.set(key, value)
    const row = await publish(restored.wrangler, await activeOf(restored.wrangler, 'test'), as(one))
    expect(row.seq).toBe(3)
  })

  it('of one tenant is nothing to another', async () => {
    const { wrangler } = createDouble()
    await publish(wrangler, await activeOf(wrangler, 'test'), as(one))
    expect(await activeOf(wrangler, 'other')).toEqual({})
  })
})

describe('a rollback', () => {
  const roll = (wrangler: Wrangler, to: number) => rollBack(wrangler, { tenant: 'test', to, by: 'ada' })

  it('activates an earlier bundle under a new seq, without writing its body again', async () => {
    const { wrangler, writes } = createDouble()
    for (const content of [one, two]) await publish(wrangler, await activeOf(wrangler, 'test'), as(content))
    writes.length = 0
    expect(await roll(wrangler, 1)).toMatchObject({ seq: 3, before: two.bundle, bundle: one.bundle })
    expect(writes).toEqual(['row', 'pointer'])
    expect(await activeOf(wrangler, 'test')).toMatchObject({
      latest: { seq: 3, hash: one.hash, note: 'rollback to 1' },
      pointer: { seq: 3, hash: one.hash },
    })
    expect(await roll(wrangler, 1)).toBe('unchanged')
  })

  it('to an activation that there is not, or whose bundle is gone, writes nothing', async () => {
    const { wrangler, kv, writes } = createDouble()
    for (const content of [one, two]) await publish(wrangler, await activeOf(wrangler, 'test'), as(content))
    kv.delete(nameOf('bundle', 'test', one.hash))
    writes.length = 0
    await expect(roll(wrangler, 7)).rejects.toMatchObject({ code: exit.refused })
    await expect(roll(wrangler, 1)).rejects.toMatchObject({ code: exit.refused })
    expect(writes).toEqual([])
  })
})
