import type { Schema } from '../../cedar/schema.ts'
import { checkIssuers } from '../../identity/check.ts'
import { approverProblems } from '../../policy/approvers.ts'
import { exchangeProblems } from '../../policy/exchange.ts'
import { type Issuer, Tenant } from '../../policy/tenant.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import { parseJsonFile } from './json-file.ts'
import type { WrittenSchema } from './schema.ts'
import type { Place, SourceText } from './source-text.ts'

/** Reads `tenant.json`, and compares its issuers with each other and with the schema. */
export const readTenant = async (
  file: SourceText,
  schema: WrittenSchema | undefined,
  local = false,
): Promise<{ tenant?: Tenant; placeOf?: (pointer: string) => Place; diagnostics: Diagnostic[] }> => {
  const parsed = parseJsonFile(file, Tenant)
  if (!parsed.ok) return { diagnostics: parsed.diagnostics }
  const { $schema: _, ...tenant } = parsed.value
  const place = (pointer: string) => parsed.placeOf(`/issuers${pointer}`)
  const diagnostics = (await checkIssuers(tenant.issuers, tenant.outgoing)).map(({ pointer, problem }) =>
    error(`issuers${pointer} ${problem}`, { place: place(pointer) }),
  )
  for (const { pointer, problem } of [...approverProblems(tenant, local), ...exchangeProblems(tenant)])
    diagnostics.push(error(`${pointer.slice(1)} ${problem}`, { place: parsed.placeOf(pointer) }))
  for (const [index, issuer] of tenant.issuers.entries()) {
    if (issuer.development) {
      const message = `issuers/${index} is a development issuer, which only \`push --local\` adds`
      diagnostics.push(error(message, { place: place(`/${index}/development`) }))
    }
    if (schema !== undefined) {
      diagnostics.push(...unknownTypes(issuer, schema.schema, pointer => place(`/${index}${pointer}`)))
      if (tenant.judge_user) diagnostics.push(...unjudgedUsers(issuer, schema, place(`/${index}/user`)))
    }
  }
  if (schema !== undefined) diagnostics.push(...unknownNames(tenant, schema.schema, parsed.placeOf))
  return { tenant, placeOf: parsed.placeOf, diagnostics }
}

/**
 * Settings that name what the schema doesn't have: a misspelt action must not go unredeemed, nor a type unclassified or
 * what is personal in clear, and its people by their names.
 */
const unknownNames = (
  { redeem_only, data_classes, privacy, approvers }: Omit<Tenant, '$schema'>,
  schema: Schema,
  placeOf: (pointer: string) => Place,
): Diagnostic[] => {
  const actions = new Set([...schema.actions.values()].map(({ uid }) => uid.id))
  const action = (pointer: string) => (name: string, index: number) =>
    actions.has(name) ? [] : [error(`the schema has no action ${name}`, { place: placeOf(`${pointer}/${index}`) })]
  const type = (pointer: string, name: string) =>
    schema.entityTypes.has(name) ? [] : [error(`the schema has no entity type ${name}`, { place: placeOf(pointer) })]
  return [
    ...redeem_only.flatMap(action('/redeem_only')),
    ...(data_classes.reads ?? []).flatMap(action('/data_classes/reads')),
    ...Object.keys(data_classes.types).flatMap(name => type(`/data_classes/types/${name}`, name)),
    ...(privacy?.personal ?? []).flatMap(({ types = [] }, rule) =>
      types.flatMap((name, index) => type(`/privacy/personal/${rule}/types/${index}`, name)),
    ),
    ...Object.entries(approvers).flatMap(([group, { entity }]) => type(`/approvers/${group}/entity/type`, entity.type)),
    ...(privacy?.people ?? []).flatMap((name, index) => type(`/privacy/people/${index}`, name)),
  ]
}

const unknownTypes = (issuer: Issuer, schema: Schema, placeOf: (pointer: string) => Place): Diagnostic[] => {
  const { agent, user, approver, groups } = issuer
  const diagnostics = Object.entries({ agent, user, approver, groups }).flatMap(([rule, mapping]) =>
    mapping === undefined || schema.entityTypes.has(mapping.type)
      ? []
      : [error(`the schema has no entity type ${mapping.type}`, { place: placeOf(`/${rule}/type`) })],
  )
  const agentType = schema.entityTypes.get(agent?.type ?? '')
  if (agentType && groups && schema.entityTypes.has(groups.type) && !agentType.memberOf.includes(groups.type)) {
    const message = `${agentType.name} can't be in ${groups.type}`
    const hint = `declare \`entity ${agentType.name} in [${groups.type}]\``
    diagnostics.push(error(message, { place: placeOf('/groups/type'), hint }))
  }
  return diagnostics
}

/** Where users are judged too, each action of an agent must be one that a user could be permitted. */
const unjudgedUsers = (
  { agent, user }: Issuer,
  { schema, placeOf }: WrittenSchema,
  issuerPlace: Place,
): Diagnostic[] => {
  if (!agent || !user || !schema.entityTypes.has(agent.type) || !schema.entityTypes.has(user.type)) return []
  return [...schema.actions.values()]
    .filter(({ principals }) => principals.includes(agent.type) && !principals.includes(user.type))
    .map(action =>
      error(
        `action ${JSON.stringify(action.uid.id)} can't be taken for a user: it lists ${agent.type} but not ${user.type}`,
        {
          place: placeOf(action),
          hint: `add ${user.type} to its principals, or set judge_user to false in tenant.json (see ${issuerPlace.file}:${issuerPlace.line})`,
        },
      ),
    )
}
