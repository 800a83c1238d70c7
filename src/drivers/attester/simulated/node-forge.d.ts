/** The few functions of node-forge's ASN.1 codec in use; its full types would pull in more. */
declare module 'node-forge/lib/asn1.js' {
  export interface Asn1 {
    readonly tagClass: number
    readonly type: number
    /** A binary string, or the members of a constructed type. */
    readonly value: string | readonly Asn1[]
  }
  const asn1: {
    create(
      tagClass: number,
      type: number,
      constructed: boolean,
      value: string | readonly Asn1[],
    ): Asn1
    fromDer(
      binary: string,
      options: { readonly strict: boolean; readonly decodeBitStrings: boolean },
    ): Asn1
    oidToDer(oid: string): { getBytes(): string }
    toDer(node: Asn1): { getBytes(): string }
  }
  export default asn1
}
