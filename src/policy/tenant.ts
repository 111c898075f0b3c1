import * as v from 'valibot'
import { readVkey, signatureTypes } from '../audit/log/note.ts'
import { SourceId } from '../facts/declarations.ts'
import { approverSettings } from './approvers.ts'
import { exchangeSettings } from './exchange.ts'
import { parseRate } from './rate.ts'
import { roles } from './roles.ts'

/**
 * A tenant's settings, as an admin writes them in `tenant.json` beside the policies, and as they stand in the bundle.
 */

/** First path parts that can't name a tenant: they are the root's own. */
export const reserved: ReadonlySet<string> = new Set(['access', 'approvals', 'v1', 'healthz'])

/** The names that path parts and identifiers of tenants may take. */
export const TenantName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'a tenant is 1-63 of a-z, 0-9 and -'),
  v.check(name => !reserved.has(name), 'this name is a path of the Worker'),
)

export const TypeName = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*(::[A-Za-z_]\w*)*$/, 'not a Cedar type name'))

/** Asymmetric algorithms only: a shared secret can't tell who signed (RFC 8725, 3.2). */
export const algorithms = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256'] as const

/** How a claim becomes an entity UID: `Type::"<prefix><claim>"`, or exactly the entries of `ids`. */
export const Mapping = v.strictObject({
  type: TypeName,
  /** Put before the claim's value. What keeps two issuers apart that speak of one type. */
  prefix: v.optional(v.string(), ''),
  /** Where given, only these values of the claim are mapped, each to the id beside it. */
  ids: v.optional(v.record(v.string(), v.string())),
  /** `listed`: only entities of the bundle are known. `all`: every value that this rule maps is. */
  admit: v.optional(v.picklist(['listed', 'all']), 'listed'),
})
export type Mapping = v.InferOutput<typeof Mapping>

const Url = v.pipe(v.string(), v.url(), v.maxLength(2_048))

export const Issuer = v.strictObject({
  id: v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)),
  iss: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
  /** Accepted audiences. By default the tenant's identifier alone. */
  aud: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1))),
  algorithms: v.pipe(v.array(v.picklist(algorithms)), v.minLength(1)),
  /** The public keys (RFC 7517), inline; or `jwks_uri`, where they are served; or `discovery`. One of the three. */
  jwks: v.optional(
    v.strictObject({ keys: v.pipe(v.array(v.record(v.string(), v.unknown())), v.minLength(1), v.maxLength(32)) }),
  ),
  /** On a host of `outgoing`. */
  jwks_uri: v.optional(Url),
  /** Where `iss` publishes its metadata: OpenID Connect Discovery, or RFC 8414 (`oauth`). On hosts of `outgoing`. */
  discovery: v.optional(v.picklist(['openid', 'oauth'])),
  /** Its tokens are JWT-SVIDs of this SPIFFE trust domain: `sub` is a SPIFFE ID, and `iss` and `iat` may be absent. */
  spiffe: v.optional(
    v.strictObject({ trust_domain: v.pipe(v.string(), v.regex(/^[a-z0-9._-]{1,255}$/, 'not a SPIFFE trust domain')) }),
  ),
  /** Roles that this issuer may give, and the claim that gives them (a string or an array of strings). */
  roles: v.strictObject({
    /** None: its tokens say who a user is, and call nothing. */
    allowed: v.array(v.picklist(roles)),
    claim: v.optional(v.string(), 'roles'),
    /** What a token without the claim gets. */
    default: v.optional(v.array(v.picklist(roles)), []),
  }),
  /** The acting agent: the `sub` of the outermost `act` where there is one, else `sub`. */
  agent: v.optional(Mapping),
  /** Who the agent acts for: `sub` of a token that has `act`. */
  user: v.optional(Mapping),
  /** Which entity the `sub` of a token with the role `approver` is. Without a rule such a token may look, not answer. */
  approver: v.optional(Mapping),
  /** With the role `source`: which source of record speaks, for every token or by its `sub`. */
  source: v.optional(v.union([SourceId, v.strictObject({ ids: v.record(v.string(), SourceId) })])),
  /** Groups that the actor is put into. Only these are taken from the claim. */
  groups: v.optional(
    v.strictObject({ claim: v.optional(v.string(), 'groups'), type: TypeName, allowed: v.array(v.string()) }),
  ),
  /**
   * It transmits security events (Shared Signals), about subjects of these issuers, by their `id`: by default its own.
   */
  events: v.optional(v.strictObject({ about: v.optional(v.array(v.string())) })),
  /** Its Identity Assertion JWTs (ID-JAG) are taken as their users' tokens at the token endpoint. */
  id_jag: v.optional(v.literal(true)),
  /** Only tokens that are bound to a key (RFC 9449) are taken; with `nonce`, each proof must carry one of our nonces. */
  dpop: v.optional(v.picklist(['required', 'nonce'])),
  session: v.optional(v.strictObject({ claim: v.optional(v.string(), 'sid') })),
  /** Seconds of clock difference to bear. */
  skew: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(120)), 30),
  /** Greatest age of a token since `iat`, in seconds. */
  max_age: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(86_400)), 3600),
  /**
   * Set by `push --local` alone, for the issuer of `countersign token`: its claims name entity UIDs outright. A Worker
   * that doesn't run locally refuses a bundle that has one.
   */
  development: v.optional(v.literal(true)),
})
export type Issuer = v.InferOutput<typeof Issuer>

/** A host that the Worker may call: `login.example`, or `login.example:8443` where the port isn't 443. */
const OutgoingHost = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9]\d{0,4})?$/,
    'a host in lower case, with a port where it is not 443',
  ),
)

/** `20/h`, `5/10m`: how many, in how long. */
const RateText = v.pipe(
  v.string(),
  v.check(text => parseRate(text) !== undefined, 'a rate reads like 20/h or 5/10m'),
)

const WitnessKey = v.pipe(
  v.string(),
  v.check(
    text => readVkey(text)?.type === signatureTypes.cosignature,
    "a witness's verifier key: name+id+key, of type 0x04",
  ),
)

const fields = ['caller', 'user', 'resource', 'arguments', 'asserted', 'facts', 'fields', 'ip'] as const

const Privacy = v.strictObject({
  /** What is stored under the key of the user it was done for, or of the resource it was done to. The first that fits counts. */
  personal: v.optional(
    v.array(
      v.strictObject({
        of: v.picklist(['user', 'resource']),
        /** Only where that is of one of these types. */
        types: v.optional(v.array(TypeName)),
        fields: v.pipe(v.array(v.picklist(fields)), v.minLength(1)),
      }),
    ),
    [],
  ),
  /** Types of principals that are people: whoever acts as one goes by a pseudonym in objects and on record. */
  people: v.optional(v.array(TypeName)),
  credentials: v.optional(
    v.strictObject({
      /** Further names of members that hold credentials. */
      names: v.optional(v.array(v.pipe(v.string(), v.minLength(1))), []),
      /** What becomes of a request that holds one: it is masked in the record, or denied too. */
      on_sight: v.optional(v.picklist(['mask', 'refuse']), 'mask'),
    }),
  ),
})
export type Privacy = v.InferOutput<typeof Privacy>

const Level = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, 'a class is 1-64 letters, digits, _ . and -'))

/** How sensitive what an agent reads is. What says no class is of the highest. */
const DataClasses = v.pipe(
  v.strictObject({
    /** From the lowest to the highest. */
    levels: v.optional(v.pipe(v.array(Level), v.minLength(1)), ['public', 'internal', 'confidential', 'restricted']),
    /** By entity type. */
    types: v.optional(v.record(TypeName, Level), {}),
    /** An attribute (a String) of the resource that names its class and goes before its type's. */
    attribute: v.optional(v.string()),
    /** Actions, or groups of them, by which data is read. By default all. */
    reads: v.optional(v.array(v.string())),
  }),
  v.check(({ levels }) => new Set(levels).size === levels.length, 'a class stands twice'),
  v.check(
    ({ levels, types }) => Object.values(types).every(name => levels.includes(name)),
    ({ input: { levels, types } }) => {
      const [type, name] = Object.entries(types).find(([, name]) => !levels.includes(name)) ?? []
      return `there is no class ${name}, which ${type} has; there are ${levels.join(', ')}`
    },
  ),
)
export type DataClasses = v.InferOutput<typeof DataClasses>

const values = v.optional(v.array(v.unknown()))

/** By action: the fact that says what became of it, and by which of its values. */
const Outcomes = v.record(
  v.string(),
  v.strictObject({ fact: v.string(), done: values, failed: values, not_done: values }),
)

export const Tenant = v.strictObject({
  $schema: v.optional(v.string()),
  tenant: TenantName,
  issuers: v.array(Issuer),
  /** All hosts that the Worker may call for this tenant, for whatever purpose. */
  outgoing: v.optional(v.array(OutgoingHost)),
  /** Judge the user that an agent acts for as well. Switching it off is a statement that agents may exceed their users. */
  judge_user: v.optional(v.boolean(), true),
  /** Tell agents which policies decided. */
  explain_to_agents: v.optional(v.boolean(), false),
  ...approverSettings,
  data_classes: v.optional(DataClasses, {}),
  /** Actions whose permits are good for nothing until they are redeemed, once. */
  redeem_only: v.optional(v.array(v.string()), []),
  ...exchangeSettings,
  outcomes: v.optional(Outcomes),
  limits: v.optional(
    v.strictObject({
      /** Decisions of one agent that end without an allow; beyond it calls are refused undecided. */
      attempts: v.optional(RateText, '600/m'),
    }),
    {},
  ),
  privacy: v.optional(Privacy),
  /** The log of receipts. */
  log: v.optional(
    v.strictObject({
      /** Anyone may read checkpoints, tiles and entries: which chains there are, when they grew, and nothing of content. */
      public: v.optional(v.boolean(), false),
      /** What stays in D1: every hour, older and more receipts go to the bucket. */
      keep: v.optional(
        v.strictObject({
          /** Not less than agents' objects keep them, which send them again after D1 was restored. */
          days: v.pipe(v.number(), v.integer(), v.minValue(35)),
          receipts: v.pipe(v.number(), v.integer(), v.minValue(10_000)),
        }),
      ),
      /** Verifier keys (C2SP signed-note) of witnesses whose cosignatures are kept. */
      witnesses: v.optional(v.pipe(v.array(WitnessKey), v.maxLength(16)), []),
    }),
  ),
})
export type Tenant = v.InferOutput<typeof Tenant>
