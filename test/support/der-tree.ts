/** Two readings of the same DER, to be compared. */
import asn1, { type Asn1 } from 'node-forge/lib/asn1.js'
import { toHex } from '../../src/core/bytes/hex.ts'
import { type Der, readChildren, readDer } from '../../src/core/encoding/der.ts'

/** Tag number, and content in hex or the members. */
export type Tree = readonly [number, string | readonly Tree[]]

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const

/** As our reader has it. */
export function treeOf(der: Uint8Array): Tree {
  return elementTree(readDer(der, BLAME))
}

/** As node-forge has it. */
export function forgeTree(der: Uint8Array): Tree {
  const options = { decodeBitStrings: false, strict: true }
  return nodeTree(asn1.fromDer(Buffer.from(der).toString('latin1'), options))
}

function elementTree(element: Der): Tree {
  const constructed = (element.tag & 0x20) !== 0
  const members = constructed ? readChildren(element, BLAME).map(elementTree) : undefined
  return [element.tag & 0x1f, members ?? toHex(element.content)]
}

function nodeTree({ type, value }: Asn1): Tree {
  const text = typeof value === 'string'
  return [type, text ? Buffer.from(value, 'latin1').toString('hex') : value.map(nodeTree)]
}
