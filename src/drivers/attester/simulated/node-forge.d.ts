/** The few functions of node-forge's ASN.1 encoder in use; its full types would pull in more. */
declare module 'node-forge/lib/asn1.js' {
  export interface Asn1 {
    readonly tagClass: number
    readonly type: number
  }
  const asn1: {
    /** `value` is a binary string, or the members of a constructed type. */
    create(
      tagClass: number,
      type: number,
      constructed: boolean,
      value: string | readonly Asn1[],
    ): Asn1
    oidToDer(oid: string): { getBytes(): string }
    toDer(node: Asn1): { getBytes(): string }
  }
  export default asn1
}
