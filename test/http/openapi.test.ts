import { expect, it } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { described } from './described.ts'

/** What people open in a browser, and the description itself. */
const NOT_API = ['/approvals/:link', '/approvals/:link/like', '/openapi.json']

it('has every route, and each once', async () => {
  const { paths } = await described()
  const { routes } = createApp({ now: Date.now, source: createSource() })
  const served = routes
    .filter(({ method, path }) => method !== 'ALL' && !NOT_API.includes(path))
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{[^/]*\})?/g, '{$1}')}`)
  const listed = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
  )
  expect(listed.sort()).toEqual([...new Set(served)].sort())
})

it('leads somewhere with each of its references', async () => {
  const description = await described()
  const references = new Set(JSON.stringify(description).match(/(?<="\$ref":")[^"]+/g))
  expect(references.size).toBeGreaterThan(0)
  for (const reference of references) {
    const [root, ...steps] = reference.split('/')
    expect(root).toBe('#')
    const end = steps.reduce<unknown>(
      (place, step) => (typeof place === 'object' && place && step in place ? Reflect.get(place, step) : undefined),
      description,
    )
    expect(end, reference).toBeTypeOf('object')
  }
})

it('lists what may stand in a query', async () => {
  const { paths } = await described()
  const names = (path: string) => JSON.stringify(paths[path]?.get).match(/(?<="in":"query","name":")\w+/g)
  expect(names('/v1/receipts')).toEqual(expect.arrayContaining(['agent', 'outcome', 'since', 'cursor', 'limit']))
  expect(names('/v1/waits/{type}/{id}/{evaluation}')).toEqual(['seconds'])
})

it('writes members alike everywhere: in snake_case, but for what is hashed as it stands', async () => {
  const names = new Set<string>()
  const collect = (of: unknown): void => {
    if (typeof of !== 'object' || of === null) return
    // a member may be called `properties`
    const isSchema = 'type' in of && of.type === 'object' && 'properties' in of
    if (isSchema) for (const name of Object.keys(of.properties ?? {})) names.add(name)
    for (const part of Object.values(of)) collect(part)
  }
  collect(await described())
  expect(names).toContain('evaluation_id')
  expect([...names].filter(name => !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name))).toEqual(['bodyCommit'])
})
