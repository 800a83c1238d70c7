/** The key broker: what its routes call, put together. @packageDocumentation */

import type { Recipient } from '../core/keys/recipient.ts'
import { createKeyAdmin, type KeyAdmin } from './admin.ts'
import { createMaterial } from './material.ts'
import type { KeyBrokerParts } from './parts.ts'
import { createRecorder } from './recorder.ts'
import { type Released, type ReleaseRequest, release } from './release.ts'

/** A key broker. */
export interface KeyBroker {
  readonly admin: KeyAdmin
  /** What operators wrap material to when they import it. */
  readonly importKey: Recipient
  /** See {@link release}. */
  release(request: ReleaseRequest): Promise<Released>
  /** For `/readyz`: whether keys can be unwrapped. */
  ready(): Promise<void>
}

/** Puts a broker together; nothing listens yet. */
export async function createKeyBroker(parts: KeyBrokerParts): Promise<KeyBroker> {
  const material = await createMaterial(parts.random)
  const recorder = createRecorder(parts)
  return {
    admin: createKeyAdmin(parts, recorder, material),
    importKey: material.importKey,
    release: async (request) => release(parts, recorder, request),
    ready: async () => parts.kek.health(),
  }
}
