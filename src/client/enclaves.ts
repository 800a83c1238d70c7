/**
 * The enclaves a session has verified, one per model: verified before the first request, again over a
 * fresh nonce when the pin says so or a key has gone stale, and never twice at the same time.
 *
 * @packageDocumentation
 */
import { toHex } from '../core/bytes/hex.ts'
import { type ErrorCode, VouchsafeError } from '../core/errors.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import type { Platform } from '../core/ports/platform.ts'
import { encodeKeyConfig } from '../core/sealing/key-config.ts'
import type { Recipient } from '../core/sealing/ohttp.ts'
import { importRecipient } from '../core/sealing/seal-request.ts'
import { createLogMemory } from './check-log.ts'
import { detailOf, type GatewayAddress, getText } from './http.ts'
import { parseKeysetAnswer } from './keyset-answer.ts'
import { logOverFetch } from './log-source.ts'
import type { ClientPin } from './pin.ts'
import {
  EnclaveRefusedError,
  type VerificationReport,
  type VerifiedEnclave,
  verifyEnclave,
} from './verify-enclave.ts'

/** A verified enclave, ready to be sealed to. */
export interface SealingTarget {
  readonly enclave: VerifiedEnclave
  readonly recipient: Recipient
  /** How the gateway finds the node that has the key: 16 bytes. */
  readonly node: Uint8Array
  readonly verifiedAt: Date
}

export interface Enclaves {
  /**
   * @throws {@link EnclaveRefusedError} if the enclave is not what was pinned; another
   *   {@link VouchsafeError} if there is no verdict. Nothing is sealed then.
   */
  target(model: string): Promise<SealingTarget>
  /** Forgets a target whose key was refused; the next call verifies afresh. */
  drop(model: string, target: SealingTarget): void
  /** Newest verification per model, refused ones too. */
  reports(): readonly VerificationReport[]
}

const NONCE_LENGTH = 32
/** Answers that will not change by trying again. */
const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'ERR_REQUEST_INVALID',
  401: 'ERR_REQUEST_UNAUTHORIZED',
  404: 'ERR_RESOURCE_NOT_FOUND',
  429: 'ERR_RATE_LIMITED',
}
const MEMO_ENTRIES = 512
const KEY_HASH_LENGTH = 16

interface EnclavesOptions {
  readonly gateway: GatewayAddress
  readonly pin: ClientPin
  readonly platform: Platform
}

/** Verified enclaves of one gateway. */
export function createEnclaves(options: EnclavesOptions): Enclaves {
  const { pin, platform } = options
  const targets = new Map<string, SealingTarget>()
  const underway = new Map<string, Promise<SealingTarget>>()
  const reports = new Map<string, VerificationReport>()
  const verify = createVerifier(options, (report) => reports.set(report.model, report))

  const verifyAndKeep = async (model: string): Promise<SealingTarget> => {
    try {
      const target = await verify(model)
      targets.set(model, target)
      return target
    } finally {
      underway.delete(model)
    }
  }

  return {
    target: async (model) => {
      const known = targets.get(model)
      if (known !== undefined && fresh(known, pin, platform.clock())) return known
      const work = underway.get(model) ?? verifyAndKeep(model)
      underway.set(model, work)
      return work
    },
    drop: (model, target) => {
      if (targets.get(model) === target) targets.delete(model)
    },
    reports: () => [...reports.values()],
  }
}

/** One verification over a fresh nonce; all of them share what they remember of the log. */
function createVerifier(
  options: EnclavesOptions,
  onReport: (report: VerificationReport) => void,
): (model: string) => Promise<SealingTarget> {
  const { gateway, pin, platform } = options
  const { crypto, fetch } = platform
  const source = logOverFetch(pin.logUrl ?? `${gateway.url}/log`, fetch)
  const memory = createLogMemory(source, crypto)
  const tools = { crypto, memo: createMemo(MEMO_ENTRIES), memory }
  return async (model) => {
    const nonce = platform.random(NONCE_LENGTH)
    // As of now: another verification may move it on while this answer is on its way.
    const seen = memory.newest()
    const answer = await fetchAnswer(model, nonce, options)
    const now = platform.clock()
    try {
      const enclave = await verifyEnclave({ answer, model, nonce, now, pin, seen }, tools)
      onReport(enclave.report)
      return await targetOf(enclave, now, platform)
    } catch (error) {
      if (error instanceof EnclaveRefusedError) onReport(error.report)
      throw error
    }
  }
}

function fresh({ enclave, verifiedAt }: SealingTarget, pin: ClientPin, now: Date): boolean {
  const age = (now.getTime() - verifiedAt.getTime()) / 1000
  return age >= 0 && age < pin.verifyEvery && now.getTime() / 1000 < enclave.keyset.not_after
}

async function fetchAnswer(
  model: string,
  nonce: Uint8Array,
  { gateway, platform }: { readonly gateway: GatewayAddress; readonly platform: Platform },
): Promise<ReturnType<typeof parseKeysetAnswer>> {
  const path = `/v1/keyset?nonce=${toHex(nonce)}&model=${encodeURIComponent(model)}`
  const { status, text } = await getText(gateway, path, platform.fetch)
  if (status !== 200) {
    throw new VouchsafeError(
      { code: STATUS_CODES[status] ?? 'ERR_UPSTREAM_UNAVAILABLE', at: 'client.keyset' },
      `the gateway answered ${status}: ${detailOf(text)}`,
    )
  }
  return parseKeysetAnswer(text)
}

async function targetOf(
  enclave: VerifiedEnclave,
  verifiedAt: Date,
  { sealing, crypto }: Platform,
): Promise<SealingTarget> {
  const digest = await crypto.digest('SHA-256', encodeKeyConfig(enclave.key.config))
  const recipient = await importRecipient(enclave.key, sealing)
  return { enclave, recipient, node: digest.slice(0, KEY_HASH_LENGTH), verifiedAt }
}
