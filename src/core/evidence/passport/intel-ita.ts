/**
 * Intel Trust Authority: attesters of one kind with their claims at the top (version 1), or of several
 * kinds, each in a member of its own (version 2).
 *
 * @packageDocumentation
 * @see https://docs.trustauthority.intel.com, "Attestation tokens"
 */
import { field, hex, integer, listOf, text } from '../../appraisal/policy-field.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import {
  at,
  base64Bytes,
  hexBytes,
  integerAt,
  isObject,
  type JsonObject,
  nonceBytes,
  show,
  textAt,
  textsAt,
} from './json.ts'
import {
  allInList,
  always,
  ask,
  includesAll,
  type Kind,
  listed,
  type Meaning,
  measured,
  oneOfList,
  only,
  type PassportClaims,
} from './kind.ts'

/** Members of a version 2 token that hold an attester's claims. */
const ATTESTERS = ['tdx', 'sgx', 'sevsnp', 'nvgpu', 'tpm']
/** By type: where the claim stands that says whether the attester is being debugged. */
const DEBUG: Readonly<Record<string, string>> = {
  TDX: 'tdx_is_debuggable',
  SGX: 'sgx_is_debuggable',
}
const TDX_REGISTERS = ['mrtd', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3']

/** JWTs of its portals. */
export const intelIta: Kind = {
  id: 'intel-ita',
  types: ['jwt', ''],
  expiryOptional: false,
  bundled: false,
  recognizes: ({ token: { payload }, devices }) =>
    devices.length === 0 && attestersOf(payload).some((one) => textAt(one, 'attester_type')),
  meaning,
  questions: {
    debug: always(
      'ita.policy.debug',
      {
        doc: 'Debug is off for every attester. Types whose debug state is not known fail.',
        value: false,
        good: 'off',
      },
      debugFaults,
    ),
    attesterTypes: allInList(
      'ita.token.attester_type',
      'Every attester is of one of these types: TDX, SGX.',
      ({ payload }) => attestersOf(payload).map((one) => textAt(one, 'attester_type')),
    ),
    tcbStatus: allInList(
      'ita.platform.tcb_status',
      'TCB status of every attester: UpToDate and whatever else is accepted.',
      ({ payload }) => attestersOf(payload).map((one) => textAt(one, 'attester_tcb_status')),
    ),
    advisories: ask({
      id: 'ita.platform.advisories',
      field: field(
        'Advisories that are accepted. An empty list accepts none.',
        listOf(text(/^[A-Z0-9-]{1,64}$/), 0),
      ),
      actual: ({ payload }) => show(advisoriesOf(payload)?.join(', ') ?? 'not a list of texts'),
      judge: ({ payload }, accepted) => ({
        expected: accepted.length === 0 ? 'none' : `none but ${accepted.join(', ')}`,
        ok: advisoriesOf(payload)?.every((id) => accepted.includes(id)) === true,
      }),
    }),
    policiesMatched: includesAll(
      'ita.token.policy_ids_matched',
      'Ids of policies at Intel Trust Authority, all of which must have matched.',
      ({ payload }) => policiesIn(payload['policy_ids_matched']),
    ),
    policiesUnmatched: only(
      'ita.token.policy_ids_unmatched',
      {
        doc: 'None of the policies that were asked for failed to match.',
        value: false,
        good: 'none',
      },
      ({ payload }) => {
        const ids = payload['policy_ids_unmatched'] ?? []
        return Array.isArray(ids) && ids.length === 0 ? [] : [show(ids as Json)]
      },
    ),
    ...Object.fromEntries(
      TDX_REGISTERS.map((name) => [
        `tdx.${name}`,
        listed(
          `ita.tdx.${name}`,
          field(`${name.toUpperCase()} of the TD.`, listOf(hex(48))),
          ({ payload }) => textAt(soleOf(payload), `tdx_${name}`)?.toLowerCase(),
        ),
      ]),
    ),
    'tdx.minimumSeamSvn': ask({
      id: 'ita.tdx.seam_svn',
      field: field('Least version of the TDX module: tdx_seamsvn.', integer()),
      actual: ({ payload }) => show(at(soleOf(payload), 'tdx_seamsvn')),
      judge: ({ payload }, least) => ({
        expected: `at least ${least}`,
        ok: (integerAt(soleOf(payload), 'tdx_seamsvn') ?? -1) >= least,
      }),
    }),
    'sgx.mrenclave': listed(
      'ita.sgx.mrenclave',
      field('MRENCLAVE of the enclave.', listOf(hex(32))),
      ({ payload }) => textAt(soleOf(payload), 'sgx_mrenclave')?.toLowerCase(),
    ),
    'sgx.mrsigner': listed(
      'ita.sgx.mrsigner',
      field('MRSIGNER of the enclave.', listOf(hex(32))),
      ({ payload }) => textAt(soleOf(payload), 'sgx_mrsigner')?.toLowerCase(),
    ),
    version: oneOfList('ita.token.ver', 'Version of the token: 1.0.0, 2.0.0.', ({ payload }) =>
      textAt(payload, 'ver'),
    ),
  },
}

/**
 * All attesters of a token; a version 1 token is one itself. One in a member of a name that is not known
 * is one as well: passed over, it would be an attester of which nothing was asked.
 */
function attestersOf(payload: JsonObject): readonly JsonObject[] {
  if (Object.hasOwn(payload, 'attester_type')) return [payload]
  return Object.entries(payload).flatMap(([name, one]) =>
    isObject(one) && (ATTESTERS.includes(name) || Object.hasOwn(one, 'attester_type')) ? [one] : [],
  )
}

/** The TEE, if there is one and no other: report data of two are nobody's in particular. */
function soleOf(payload: JsonObject): JsonObject {
  const [first, ...more] = attestersOf(payload).filter((one) =>
    Object.hasOwn(DEBUG, textAt(one, 'attester_type') ?? ''),
  )
  return first !== undefined && more.length === 0 ? first : {}
}

function debugFaults({ payload }: PassportClaims): readonly string[] {
  const attesters = attestersOf(payload)
  if (attesters.length === 0) return ['no attester']
  return attesters.flatMap((one) => {
    const type = textAt(one, 'attester_type') ?? ''
    const name = Object.hasOwn(DEBUG, type) ? DEBUG[type] : undefined
    if (name === undefined) return [`attester_type ${show(at(one, 'attester_type'))}`]
    const state = at(one, name)
    return state === false ? [] : [`${name} ${show(state)}`]
  })
}

/** Of all attesters. Where a platform has none, the claim is left out; a claim of another form is bad. */
function advisoriesOf(payload: JsonObject): readonly string[] | undefined {
  const lists = attestersOf(payload).map((one) => {
    const given = at(one, 'attester_advisory_ids')
    return given === undefined || given === null ? [] : textsAt(one, 'attester_advisory_ids')
  })
  return lists.includes(undefined) ? undefined : lists.flatMap((list) => list ?? [])
}

/** `[{"id": …}]`, or ids alone. */
function policiesIn(value: Json | undefined): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined
  return (value as readonly Json[]).flatMap((item) => {
    const id = typeof item === 'string' ? item : textAt(item, 'id')
    return id === undefined ? [] : [id]
  })
}

/**
 * `attester_held_data` is what the guest bound: the service has checked that the quote's own report data
 * is its hash, under a nonce of the service's. Without it the report data stands as it is.
 */
function meaning(payload: JsonObject): Meaning {
  const tee = soleOf(payload)
  const type = textAt(tee, 'attester_type')?.toLowerCase() ?? ''
  const names = type === 'tdx' ? TDX_REGISTERS : ['mrenclave', 'mrsigner']
  const claims = names.map((name) => [name, textAt(tee, `${type}_${name}`)] as const)
  return {
    reportData: Object.hasOwn(tee, 'attester_held_data')
      ? base64Bytes(textAt(tee, 'attester_held_data'))
      : hexBytes(textAt(tee, `${type}_report_data`)),
    nonce: nonceBytes(textAt(payload, 'eat_nonce')),
    measurements: measured(Object.fromEntries(claims)),
    tcb: {
      status: textAt(tee, 'attester_tcb_status') ?? 'absent',
      date: textAt(tee, 'attester_tcb_date'),
      advisoryIds: advisoriesOf(payload) ?? [],
    },
  }
}
