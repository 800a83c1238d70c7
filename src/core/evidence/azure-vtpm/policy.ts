/**
 * What a policy can ask of an Azure confidential VM beyond its hardware: the vTPM's quote, and what the
 * paravisor says of the VM, which the hardware report covers.
 *
 * @packageDocumentation
 */
import { boolean, field, listOf, type PolicyValues, text } from '../../appraisal/policy-field.ts'
import {
  type Ask,
  among,
  type Question,
  type Questions,
  question,
} from '../../appraisal/question.ts'
import type { Claims, PolicyConflict } from '../common/format.ts'
import { bootQuestions } from '../tpm/policy-boot.ts'
import { quoteQuestions } from '../tpm/policy-quote.ts'
import type { AzureClaims } from './claims.ts'

const hexData = text(/^(?:[0-9a-f]{2}){0,512}$/)
const uniqueId = text(/^[0-9A-Fa-f-]{36}$/)

const FLAGS: readonly Flag[] = [
  {
    name: 'secureBoot',
    id: 'secure_boot',
    claim: 'secure-boot',
    doc: 'Secure Boot, as the VM is configured.',
  },
  {
    name: 'console',
    id: 'console',
    claim: 'console-enabled',
    doc: 'A serial console, as the VM is configured.',
  },
  {
    name: 'tpm',
    id: 'tpm',
    claim: 'tpm-enabled',
    doc: 'The vTPM, as the VM is configured.',
  },
]

interface Flag {
  readonly name: string
  readonly id: string
  readonly claim: string
  readonly doc: string
}

/** The questions, in the order of their checks; ids begin with the format's prefix. */
export function azureQuestions<C extends Claims>(prefix: string): Questions<AzureClaims<C>> {
  const ask: Ask<AzureClaims<C>> = question
  return {
    'vm.userData': ask({
      id: `${prefix}.vm.user_data`,
      field: field(
        'User data in the hardware report: what was in NV index 0x01400002 when it was made.',
        listOf(hexData),
      ),
      actual: ({ runtime }) => runtime.userData ?? 'absent',
      judge: among(({ runtime }) => runtime.userData),
    }),
    ...Object.fromEntries(FLAGS.map((one) => [`vm.${one.name}`, flag<C>(prefix, one)])),
    'vm.uniqueId': ask({
      id: `${prefix}.vm.unique_id`,
      field: field('VMs that may answer, by vmUniqueId.', listOf(uniqueId)),
      actual: (claims) => uniqueIdOf(claims) ?? 'absent',
      judge: (claims, wanted) => {
        const actual = uniqueIdOf(claims)?.toLowerCase()
        return {
          expected: wanted.join(' or '),
          ok: wanted.some((one) => one.toLowerCase() === actual),
        }
      },
    }),
    ...bootQuestions<AzureClaims<C>>({
      id: `${prefix}.vtpm`,
      name: 'vtpm.',
      bootOf: ({ boot }) => boot,
    }),
    ...quoteQuestions<AzureClaims<C>>({
      id: `${prefix}.vtpm`,
      name: 'vtpm.',
      quoteOf: ({ vtpm }) => vtpm,
    }),
  }
}

/**
 * Whether a policy takes reports of SEV-SNP that the guest may have asked for. The paravisor runs at
 * VMPL 0 and the guest above it, where REPORTDATA is of its own choosing: such a report could name any
 * key, and that key quote any PCRs. Nothing else of what a policy says could stand in for that.
 */
export function levelConflict({ vmpl }: PolicyValues): PolicyConflict | undefined {
  if (vmpl === undefined || !('require' in vmpl)) return undefined
  const taken = (vmpl.require as readonly number[]).find((level) => level !== 0)
  if (taken === undefined) return undefined
  const detail = `takes level ${taken}, which is the guest's own; the vTPM's key is the word of level 0, the paravisor`
  return { field: 'vmpl', detail }
}

/** One of the paravisor's booleans; one that is not there is neither true nor false. */
function flag<C extends Claims>(
  prefix: string,
  { id, claim, doc }: Flag,
): Question<AzureClaims<C>> {
  const find = ({ runtime }: AzureClaims<C>) =>
    Object.hasOwn(runtime.vmConfiguration, claim) ? runtime.vmConfiguration[claim] : undefined
  return question({
    id: `${prefix}.vm.${id}`,
    field: field(doc, boolean),
    actual: (claims) => {
      const found = find(claims)
      return found === undefined ? 'absent' : JSON.stringify(found)
    },
    judge: (claims, wanted) => ({ expected: String(wanted), ok: find(claims) === wanted }),
  })
}

function uniqueIdOf<C extends Claims>({ runtime }: AzureClaims<C>): string | undefined {
  const found = runtime.vmConfiguration['vmUniqueId']
  return typeof found === 'string' ? found : undefined
}
