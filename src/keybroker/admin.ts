/**
 * What operators do with keys. Every change is a leaf first and takes effect second; two operators
 * who change one key at the same time are told so.
 *
 * @packageDocumentation
 */

import { toHex } from '../core/bytes/hex.ts'
import { canonicalBytes, type Json } from '../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../core/errors.ts'
import { type KeyId, keyUri } from '../core/keys/uri.ts'
import type { StoredKey, StoredRequest } from '../core/ports/keybroker-store.ts'
import {
  destroyed,
  type Edit,
  type EditTools,
  type KeyOrder,
  newKey,
  repoliced,
  rotated,
  switched,
  type VersionOrder,
} from './edits.ts'
import { conflict, notFound } from './errors.ts'
import type { Material } from './material.ts'
import { createMutex } from './mutex.ts'
import { type KeyBrokerParts, secondsOf } from './parts.ts'
import type { Recorder } from './recorder.ts'
import { type KeyView, viewOf } from './views.ts'

/** So that a request whose answer was lost can be sent again. */
export interface Idempotency {
  /** Whose request it is, and what they call it. */
  readonly id: string
  /** Everything that was asked. */
  readonly asked: Json
}

/** Administration of keys. Who may is decided before. */
export interface KeyAdmin {
  /**
   * @throws {@link VouchsafeError} `ERR_RESOURCE_CONFLICT` if there is such a key, or another request
   *   had this `idempotency.id`; `ERR_POLICY_INVALID`, `ERR_REQUEST_INVALID`, `ERR_KEY_UNWRAP_FAILED`,
   *   `ERR_LOG_UNAVAILABLE`.
   */
  create(id: KeyId, order: KeyOrder, idempotency: Idempotency | undefined): Promise<KeyView>
  /**
   * Adds a version.
   *
   * @param graceSeconds - The versions before it end after so many seconds; `undefined` leaves them.
   */
  rotate(
    id: KeyId,
    order: VersionOrder & { readonly graceSeconds: number | undefined },
    idempotency: Idempotency | undefined,
  ): Promise<KeyView>
  /** Enabling also takes a destruction back, while it is pending. */
  setState(id: KeyId, version: number, state: 'enabled' | 'disabled'): Promise<KeyView>
  /** Destroys a version after the waiting period, or at once. */
  destroy(id: KeyId, version: number, immediately: boolean): Promise<KeyView>
  setPolicy(id: KeyId, policy: Json, immutable: boolean): Promise<KeyView>
  /** @throws {@link VouchsafeError} `ERR_KEY_NOT_FOUND`. */
  get(id: KeyId): Promise<KeyView>
  list(query: {
    readonly namespaces: readonly string[] | undefined
    readonly after: string | undefined
    readonly limit: number
  }): Promise<readonly KeyView[]>
  /** Destroys what has waited long enough. To be called now and then. */
  sweep(): Promise<void>
}

const PAGE = 100

/** Administration over these parts. */
export function createKeyAdmin(
  parts: KeyBrokerParts,
  recorder: Recorder,
  material: Material,
): KeyAdmin {
  const editor: Editor = { parts, recorder, material }
  const edit = createEdit(editor)
  const admin: KeyAdmin = {
    create: async (id, order, idempotency) =>
      edit(id, async (_, now) => newKey(editor, { id, order, now }), idempotency),
    rotate: async (id, order, idempotency) =>
      edit(id, async (key, now) => rotated(editor, { key: key(), order, now }), idempotency),
    setState: async (id, version, state) =>
      edit(id, async (key) => switched(key(), version, state)),
    destroy: async (id, version, immediately) =>
      edit(id, async (key, now) => {
        const wait = immediately ? 0 : parts.limits.destructionWaitSeconds
        return destroyed(key(), version, { at: now + wait, now })
      }),
    setPolicy: async (id, policy, immutable) =>
      edit(id, async (key) => repoliced(parts, key(), { policy, immutable })),
    get: async (id) => viewOf(present(await parts.keys.find(id))),
    list: async (query) => (await parts.keys.list(query)).map(viewOf),
    sweep: async () => {
      for await (const { id, version } of dueVersions(parts)) {
        await admin.destroy(id, version, true)
      }
    },
  }
  return admin
}

/**
 * Changes one key. `change` is given a way to the key as it is, which throws if there is none, and
 * the time in Unix seconds.
 */
type EditKey = (
  id: KeyId,
  change: (key: () => StoredKey, now: number) => Promise<Edit>,
  idempotency?: Idempotency,
) => Promise<KeyView>

function createEdit(editor: Editor): EditKey {
  const { parts } = editor
  const inTurn = createMutex()
  return async (id, change, idempotency) =>
    inTurn(keyUri(id), async () =>
      once(parts, idempotency, async (digest) => {
        const now = secondsOf(parts.now())
        const stored = await parts.keys.find(id)
        const edited = await change(() => present(stored), now)
        const revision = (stored?.revision ?? 0) + 1
        return apply(editor, { ...edited, revision, now }, { idempotency, digest })
      }),
    )
}

interface Editor extends EditTools {
  readonly recorder: Recorder
}

/** The answer of an earlier request of this name, or what `work` does now. */
async function once(
  { keys, hasher, now }: KeyBrokerParts,
  idempotency: Idempotency | undefined,
  work: (digest: string) => Promise<KeyView>,
): Promise<KeyView> {
  if (idempotency === undefined) return work('')
  const digest = `sha256:${toHex(await hasher.digest('SHA-256', bytesOf(idempotency)))}`
  const earlier = await keys.request(idempotency.id, secondsOf(now()))
  if (earlier === undefined) return work(digest)
  if (earlier.digest === digest) return earlier.response as unknown as KeyView
  throw conflict('request.idempotency_key', 'was used for another request')
}

function bytesOf({ asked }: Idempotency): Uint8Array {
  try {
    return canonicalBytes(asked)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'body' } as const
    throw new VouchsafeError(blame, 'only integers and well-formed text', { cause })
  }
}

/** Leaf first, then the store. */
async function apply(
  { parts, recorder }: Editor,
  {
    key,
    version,
    action,
    revision,
    now,
  }: Edit & { readonly revision: number; readonly now: number },
  { idempotency, digest }: { idempotency: Idempotency | undefined; digest: string },
): Promise<KeyView> {
  const changed: StoredKey = { ...key, revision }
  await recorder.record([canonicalBytes(key.policy)], () => ({
    v: 1,
    type: 'key',
    time: now,
    key: keyUri(key.id),
    version,
    action,
    policy: key.policyDigest,
  }))
  const view = viewOf(changed)
  const request = idempotency && requestOf(parts, { id: idempotency.id, digest, now }, view)
  if (!(await parts.keys.save(changed, request))) throw conflict('key', 'changed in between')
  return view
}

function requestOf(
  { limits }: KeyBrokerParts,
  { id, digest, now }: { readonly id: string; readonly digest: string; readonly now: number },
  view: KeyView,
): StoredRequest {
  const response = view as unknown as Json
  return { id, digest, response, at: now, expiresAt: now + limits.idempotencySeconds }
}

async function* dueVersions({
  keys,
  now,
}: KeyBrokerParts): AsyncGenerator<{ readonly id: KeyId; readonly version: number }> {
  let after: string | undefined
  for (;;) {
    const page = await keys.list({ namespaces: undefined, after, limit: PAGE })
    for (const { id, versions } of page) {
      const due = versions.filter(({ destroyAt }) => isPast(destroyAt, secondsOf(now())))
      yield* due.map(({ version }) => ({ id, version }))
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    after = keyUri(last.id)
  }
}

function isPast(time: number | null, now: number): boolean {
  return time !== null && time <= now
}

function present(key: StoredKey | undefined): StoredKey {
  if (key === undefined) throw notFound()
  return key
}
