/** Where everything lies that must survive. @packageDocumentation */
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { VouchsafeError } from '../core/errors.ts'

/** Paths below the data directory. What is under `keys` and `tokens` is secret. */
export interface DataPaths {
  readonly root: string
  readonly challengeSecret: string
  readonly earKey: string
  readonly logKey: string
  readonly logKeyPq: string
  readonly kek: string
  /** Development only, as are the other two tokens and the list of operators. */
  readonly operatorToken: string
  readonly operators: string
  readonly providerToken: string
  readonly clientKey: string
  /** What a client trusts this service by; only in development. */
  readonly clientPin: string
  readonly verifierStore: string
  /** Fetched endorsements: can be deleted at any time, and will be fetched again. */
  readonly endorsementCache: string
  readonly keybrokerStore: string
  readonly gatewayStore: string
  readonly logStore: string
  /** Served as it is. */
  readonly logFiles: string
  readonly blobs: string
  /** Roots of simulated TEEs; only in development. */
  readonly simulated: string
}

const OTHERS_MAY_WRITE = 0o022

/**
 * Creates the directories that are absent, readable by nobody else.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if one cannot be made, and as
 *   {@link assertPrivate}: others could put keys of their own there.
 */
export function openDataDirectory(root: string): DataPaths {
  const blame = { code: 'ERR_STATE_INVALID', at: 'dataDirectory' } as const
  const paths = dataPaths(root)
  try {
    for (const name of ['', 'keys', 'tokens']) ensure(resolve(root, name))
  } catch (cause) {
    throw new VouchsafeError(blame, `cannot create ${root}`, { cause })
  }
  assertPrivate(paths)
  return paths
}

/** Node's own `recursive` never ends in a place like `/proc`. */
function ensure(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return
  const parent = dirname(directory)
  if (parent !== directory) ensure(parent)
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (cause) {
    // Another process may have been first.
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw cause
  }
}

/**
 * Whether nobody else can put files where ours are looked for.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may write there, or it is another
 *   user's, who can change that at any time.
 */
export function assertPrivate({ root }: DataPaths): void {
  const blame = { code: 'ERR_STATE_INVALID', at: 'dataDirectory' } as const
  for (const path of ['', 'keys', 'tokens'].map((name) => join(root, name))) {
    const about = statSync(path, { throwIfNoEntry: false })
    if (about === undefined) continue
    if (!about.isDirectory()) throw new VouchsafeError(blame, `${path} is no directory`)
    if ((about.mode & OTHERS_MAY_WRITE) !== 0) {
      throw new VouchsafeError(blame, `others may write to ${path}: run chmod 700 ${path}`)
    }
    const owners = [0, process.geteuid?.() ?? about.uid]
    if (owners.includes(about.uid)) continue
    throw new VouchsafeError(blame, `${path} belongs to another user (${about.uid})`)
  }
}

/** Where things would be. */
export function dataPaths(root: string): DataPaths {
  return {
    root,
    challengeSecret: join(root, 'keys/challenge.secret'),
    earKey: join(root, 'keys/ear.pem'),
    logKey: join(root, 'keys/log.key'),
    logKeyPq: join(root, 'keys/log-ml-dsa.pem'),
    kek: join(root, 'keys/kek'),
    operatorToken: join(root, 'tokens/operator'),
    operators: join(root, 'tokens/operators.json'),
    providerToken: join(root, 'tokens/provider'),
    clientKey: join(root, 'tokens/client'),
    clientPin: join(root, 'client-pin.json'),
    verifierStore: join(root, 'verifier.sqlite'),
    endorsementCache: join(root, 'endorsements.sqlite'),
    keybrokerStore: join(root, 'keybroker.sqlite'),
    gatewayStore: join(root, 'gateway.sqlite'),
    logStore: join(root, 'log.sqlite'),
    logFiles: join(root, 'log'),
    blobs: join(root, 'blobs'),
    simulated: join(root, 'simulated'),
  }
}
