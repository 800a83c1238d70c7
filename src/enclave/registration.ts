/**
 * What the gateway knows of this enclave: where it is, and until when. Told anew at every renewal,
 * and taken back when the enclave ends, so that nobody is sent to where nobody answers.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { Journal } from './journal.ts'
import type { GatewayPeer } from './peers/peer.ts'
import type { Standing } from './standing.ts'

interface RegistrationDeps {
  readonly gateway: GatewayPeer | undefined
  readonly journal: Journal
}

/** One enclave at one address. */
export class Registration {
  readonly #deps: RegistrationDeps
  #url: string | undefined
  #id: string | undefined
  #until = Number.POSITIVE_INFINITY

  constructor(deps: RegistrationDeps) {
    this.#deps = deps
  }

  /** Unix second at which it ends; never, where there is none. */
  get until(): number {
    return this.#until
  }

  /** Says where we listen; nothing is registered before. */
  locate(url: string): void {
    this.#url = url
  }

  /** @throws {@link VouchsafeError} whatever the gateway refuses with. */
  async renew({ keyset, proof }: Standing): Promise<void> {
    const { gateway, journal } = this.#deps
    const url = this.#url
    if (url === undefined) return
    if (gateway === undefined) {
      journal.step('No gateway configured: clients must be told where this enclave is', { url })
      return
    }
    const document = { ...keyset.keyset, vouchsafe: { ...keyset.keyset.vouchsafe } }
    const registered = await gateway.register({ url, keyset: document, ear: proof.ear })
    this.#id = registered.id
    this.#until = registered.expiresAt
    journal.step('The gateway knows this enclave, and its keyset is in the log', {
      id: registered.id,
      url,
      until: new Date(registered.expiresAt * 1000).toISOString(),
      log_index: registered.logIndex,
    })
  }

  /** Once is enough. A gateway that cannot be told finds out: it never keeps us from ending. */
  async withdraw(): Promise<void> {
    const { gateway, journal } = this.#deps
    const id = this.#id
    this.#id = undefined
    if (id === undefined || gateway === undefined) return
    try {
      await gateway.withdraw(id)
      journal.step('The gateway sends nobody here any more', { id })
    } catch (cause) {
      if (!(cause instanceof VouchsafeError)) throw cause
      journal.warn('the gateway could not be told that this enclave ends', { why: cause.message })
    }
  }
}
