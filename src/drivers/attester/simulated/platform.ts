/** The platform that the minted PCK certificate speaks of. @packageDocumentation */
import { SGX_EXTENSION } from '../../../core/evidence/intel-dcap/sgx-extension.ts'
import { boolean, type DerNode, encode, enumerated, integer, octets, oid, sequence } from './der.ts'
import type { ExtensionSpec } from './x509.ts'

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
  edit: (members: readonly DerNode[]) => readonly DerNode[] = (members) => members,
): ExtensionSpec {
  const { ppid, fmspc, pceId, platformInstanceId } = platform
  const members = [
    member('1', octets(ppid)),
    member('2', tcb(platform)),
    member('3', octets(pceId)),
    member('4', octets(fmspc)),
    member('5', enumerated(1)),
    ...(platformInstanceId === undefined ? [] : [member('6', octets(platformInstanceId))]),
    member(
      '7',
      sequence(...['7.1', '7.2', '7.3'].map((arc) => member(arc, boolean(arc === '7.3')))),
    ),
  ]
  return { oid: SGX_EXTENSION, critical: false, value: encode(sequence(...edit(members))) }
}

function tcb({ sgxComponents, pceSvn, cpuSvn }: SimulatedPlatform): DerNode {
  return sequence(
    ...sgxComponents.map((svn, i) => member(`2.${i + 1}`, integer(svn))),
    member('2.17', integer(pceSvn)),
    member('2.18', octets(cpuSvn)),
  )
}

function member(arc: string, value: DerNode): DerNode {
  return sequence(oid(`${SGX_EXTENSION}.${arc}`), value)
}
