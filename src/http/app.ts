import { Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { refusal } from '../decision/refusal.ts'
import { createRevocations } from '../delegation/revocations.ts'
import { createKeySets } from '../identity/key-sets.ts'
import { createEpochs } from '../policy/epochs.ts'
import { access } from './access.ts'
import { again } from './again.ts'
import { agents } from './agents.ts'
import { approvals } from './approvals.ts'
import { delegations } from './delegations.ts'
import { erasures } from './erasures.ts'
import { escalations } from './escalations.ts'
import { events } from './events.ts'
import { facts } from './facts.ts'
import { justification } from './justification.ts'
import { keeping } from './keeping.ts'
import { kills } from './kills.ts'
import { log } from './log.ts'
import { openapi } from './openapi.ts'
import { outcomes } from './outcomes.ts'
import { permits } from './permits.ts'
import { problem } from './problem.ts'
import { record } from './record.ts'
import { requests } from './requests.ts'
import { scope } from './scope.ts'
import { search } from './search.ts'
import { type Place, placeOf } from './tenant.ts'
import { together } from './together.ts'
import { token } from './token.ts'
import type { AppEnv, Parts } from './types.ts'
import { votes } from './votes.ts'
import { waits } from './waits.ts'
import { webhooks } from './webhooks.ts'
import { wellKnown } from './well-known.ts'
import { whoami } from './whoami.ts'

/** The Worker's HTTP side. Routes are written once: the tenant is taken off the path before they are matched. */
export const createApp = (given: Pick<Parts, 'now' | 'source'> & Partial<Parts>) => {
  const parts: Parts = { keySets: createKeySets(), revocations: createRevocations(), fetch, ...given }
  const epochs = createEpochs()
  const places = new WeakMap<Request, Place>()
  const app = new Hono<AppEnv>({
    getPath: (request, options) => {
      // Hono calls this with the bindings on every request.
      const env = options?.env
      const place = env && placeOf(request.url, env)
      if (!place) return NOWHERE
      places.set(request, place)
      return place.path
    },
  })

  app.use(async (c, next) => {
    const requestId = c.req.header('x-request-id')
    const place = places.get(c.req.raw)
    if (place) {
      c.set('place', place)
      c.set('now', parts.now())
      c.set('parts', parts)
      c.set('epochs', epochs)
      await next()
    } else {
      c.res = problem(refusal(404, 'not_found'))
    }
    // AuthZEN: the same identifier in the response, whatever it says.
    if (requestId !== undefined) c.res.headers.set('x-request-id', requestId)
    c.res.headers.set('x-content-type-options', 'nosniff')
    if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store')
  })

  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (_c, methods) => {
        const response = problem(refusal(405, 'method_not_allowed'))
        response.headers.set('allow', methods.join(', '))
        return response
      },
    }),
  )

  app.route('/', access)
  app.route('/', requests)
  app.route('/', justification)
  app.route('/', votes)
  app.route('/', escalations)
  app.route('/', approvals)
  app.route('/', together)
  app.route('/', webhooks)
  app.route('/', search)
  app.route('/', scope)
  app.route('/', agents)
  app.route('/', record)
  app.route('/', again)
  app.route('/', facts)
  app.route('/', waits)
  app.route('/', token)
  app.route('/', whoami)
  app.route('/', delegations)
  app.route('/', events)
  app.route('/', outcomes)
  app.route('/', kills)
  app.route('/', permits)
  app.route('/', log)
  app.route('/', erasures)
  app.route('/', keeping)
  app.route('/', wellKnown)
  app.get('/openapi.json', openapi(app))

  app.notFound(() => problem(refusal(404, 'not_found')))
  app.onError(error => {
    console.error(error)
    return problem(refusal(500, 'internal'))
  })
  return app
}

/** A path that no route has. */
const NOWHERE = '/\0'
