import * as v from 'valibot'
import { outgoingUrl } from '../outgoing/fetch.ts'
import { GROUP } from './escalation.ts'

const TargetName = v.pipe(v.string(), v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'not a name of a webhook'))
const Uid = v.strictObject({ type: v.string(), id: v.string() })

/** Where messages go. `slack` and `teams` are what those take; `json` is the event as it is. */
export const webhookFormats = ['json', 'slack', 'teams'] as const

const Webhook = v.strictObject({
  url: v.pipe(v.string(), v.maxLength(2_048)),
  format: v.optional(v.picklist(webhookFormats), 'json'),
})

const ApproverGroup = v.strictObject({
  /** The approvers are the bundle's entities in this one. */
  entity: Uid,
  /**
   * Who is told that something waits. With `approver` the message goes to that person alone and its link speaks for
   * them; without, the link shows the request, and whoever follows it signs in to answer.
   */
  notify: v.optional(v.array(v.strictObject({ webhook: TargetName, approver: v.optional(Uid) })), []),
})
export type ApproverGroup = v.InferOutput<typeof ApproverGroup>

/** The part of a tenant's settings that is about people, and how they are reached. */
export const approverSettings = {
  approvers: v.optional(
    v.record(v.pipe(v.string(), v.regex(GROUP, 'not a name of an approver group')), ApproverGroup),
    {},
  ),
  webhooks: v.optional(v.record(TargetName, Webhook), {}),
}

type Settings = v.InferOutput<v.ObjectSchema<typeof approverSettings, undefined>> & { outgoing?: string[] | undefined }

/** What is wrong between the parts. `pointer` leads into tenant.json. */
export const approverProblems = (
  { approvers, webhooks, outgoing = [] }: Settings,
  local: boolean,
): { pointer: string; problem: string }[] => [
  ...Object.entries(webhooks).flatMap(([name, { url }]) => {
    const target = outgoingUrl(url, { hosts: outgoing, local })
    return typeof target === 'string' ? [{ pointer: `/webhooks/${name}/url`, problem: `is refused: ${target}` }] : []
  }),
  ...Object.entries(approvers).flatMap(([group, { notify }]) =>
    notify.flatMap(({ webhook }, index) =>
      Object.hasOwn(webhooks, webhook)
        ? []
        : [
            {
              pointer: `/approvers/${group}/notify/${index}/webhook`,
              problem: `is no webhook that \`webhooks\` has: ${webhook}`,
            },
          ],
    ),
  ),
]
