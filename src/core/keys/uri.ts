/**
 * Names of keys: `kbs:///namespace/type/name`, and `?version=N` for one version of it.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'

/** A key, all versions of it. */
export interface KeyId {
  readonly namespace: string
  readonly type: string
  readonly name: string
}

/** One version of a key; versions count from 1 and never change. */
export interface KeyVersionId extends KeyId {
  readonly version: number
}

/** One part of a key's name; the rule guests already follow (`spec/keys.md` §1.1), made finite. */
export const KEY_PART = '[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}'

const URI = new RegExp(
  `^kbs:///(${KEY_PART})/(${KEY_PART})/(${KEY_PART})(?:[?]version=([1-9]\\d{0,8}))?$`,
)

/** `kbs:///namespace/type/name`. */
export function keyUri({ namespace, type, name }: KeyId): string {
  return `kbs:///${namespace}/${type}/${name}`
}

/** `kbs:///namespace/type/name?version=N`. */
export function keyVersionUri(id: KeyVersionId): string {
  return `${keyUri(id)}?version=${id.version}`
}

/**
 * Reads either form, in its one spelling: no host, no escapes, no other parameter.
 *
 * @returns `version` is `undefined` if the text names none.
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function parseKeyUri(
  text: string,
  blame: Blame,
): KeyId & { readonly version: number | undefined } {
  const [, namespace, type, name, version] = URI.exec(text) ?? []
  if (namespace === undefined || type === undefined || name === undefined) {
    throw new VouchsafeError(blame, 'want kbs:///namespace/type/name[?version=N]')
  }
  return { namespace, type, name, version: version === undefined ? undefined : Number(version) }
}
