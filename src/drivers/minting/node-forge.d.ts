/** The few functions of node-forge's ASN.1 codec that we use; its own types pull in too much. */
declare module 'node-forge' {
  interface Asn1 {
    readonly tagClass: number
    readonly type: number
    readonly constructed: boolean
    readonly value: string
  }
  const forge: {
    readonly asn1: {
      create(tagClass: number, type: number, constructed: boolean, value: string): Asn1
      toDer(object: Asn1): { getBytes(): string }
      oidToDer(oid: string): { getBytes(): string }
    }
  }
  export default forge
}
