import { expect, it } from 'vitest'
import { Gathering } from '../../src/durable/gathering.ts'

/** Work that writes down when it is done, and when it is heard of. */
const working = () => {
  const done: string[] = []
  const gathering = new Gathering()
  const join = (name: string, work = () => name) =>
    gathering
      .join(() => {
        done.push(name)
        return work()
      })
      .then(value => done.push(`${value} heard`))
  return { done, join }
}

it('what comes before the turn is done in it, in order, before anyone hears of it', async () => {
  const { done, join } = working()
  const all = ['a', 'b', 'c'].map(name => join(name))
  expect(done).toEqual([])
  await Promise.all(all)
  expect(done).toEqual(['a', 'b', 'c', 'a heard', 'b heard', 'c heard'])
})

it('what comes while others are done has a turn of its own', async () => {
  const { done, join } = working()
  let later: Promise<number> | undefined
  await join('a', () => {
    later = join('b')
    return 'a'
  })
  expect(done).toEqual(['a', 'a heard'])
  await later
  expect(done).toEqual(['a', 'a heard', 'b', 'b heard'])
})

it('those who came together before are waited for, a few turns at most', async () => {
  const { done, join } = working()
  await Promise.all([join('a'), join('b')])
  done.length = 0
  const first = join('c')
  await scheduler.wait(0)
  await Promise.all([first, join('d')])
  expect(done).toEqual(['c', 'd', 'c heard', 'd heard'])
  done.length = 0
  // whoever comes alone now is done in the end, and the next at once
  await join('e')
  const alone = join('f')
  await scheduler.wait(0)
  await Promise.all([alone, join('g')])
  expect(done).toEqual(['e', 'e heard', 'f', 'f heard', 'g', 'g heard'])
})

it('what one throws, or waits for, concerns no other', async () => {
  const gathering = new Gathering()
  const { promise, resolve } = Promise.withResolvers<string>()
  const fails = gathering.join(() => {
    throw new Error('no')
  })
  const waits = gathering.join(() => promise)
  const passes = gathering.join(() => 'c')
  await expect(fails).rejects.toThrow('no')
  expect(await passes).toBe('c')
  resolve('b')
  expect(await waits).toBe('b')
})
