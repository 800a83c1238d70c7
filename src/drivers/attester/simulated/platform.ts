/** The platform that the minted PCK certificate speaks of. @packageDocumentation */
import { SGX_EXTENSION } from '../../../core/evidence/intel-dcap/sgx-extension.ts'
import {
  type DerBytes,
  derBoolean,
  derEnumerated,
  derInteger,
  derOctets,
  derOid,
  derSequence,
} from './minting/der.ts'
import type { MintedExtension } from './minting/x509.ts'

/** Content of the SGX extension. */
export interface SimulatedPlatform {
  /** 6 bytes. */
  readonly fmspc: Uint8Array
  /** 2 bytes. */
  readonly pceId: Uint8Array
  /** 16 bytes each. */
  readonly ppid: Uint8Array
  readonly cpuSvn: Uint8Array
  /** `undefined`, as in certificates of the Processor CA, leaves it out. */
  readonly platformInstanceId: Uint8Array | undefined
  /** 16 numbers. */
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
}

/** Members in Intel's order; `edit` may change the list before it is encoded. */
export function sgxExtension(
  platform: SimulatedPlatform,
  edit: (members: readonly DerBytes[]) => readonly DerBytes[] = (members) => members,
): MintedExtension {
  const { ppid, fmspc, pceId, platformInstanceId } = platform
  const members = [
    member('1', derOctets(ppid)),
    member('2', tcb(platform)),
    member('3', derOctets(pceId)),
    member('4', derOctets(fmspc)),
    member('5', derEnumerated(1)),
    ...(platformInstanceId === undefined ? [] : [member('6', derOctets(platformInstanceId))]),
    member(
      '7',
      derSequence(...['7.1', '7.2', '7.3'].map((arc) => member(arc, derBoolean(arc === '7.3')))),
    ),
  ]
  return { oid: SGX_EXTENSION, critical: false, value: derSequence(...edit(members)) }
}

function tcb({ sgxComponents, pceSvn, cpuSvn }: SimulatedPlatform): DerBytes {
  return derSequence(
    ...sgxComponents.map((svn, i) => member(`2.${i + 1}`, derInteger(svn))),
    member('2.17', derInteger(pceSvn)),
    member('2.18', derOctets(cpuSvn)),
  )
}

function member(arc: string, value: DerBytes): DerBytes {
  return derSequence(derOid(`${SGX_EXTENSION}.${arc}`), value)
}
