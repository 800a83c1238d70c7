/**
 * The read side of the log, as tlog-tiles lays it out: everything here is public and could as well
 * be served from the directory by any web server.
 *
 * @packageDocumentation
 */
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { type Blame, VouchsafeError } from '../core/errors.ts'
import type { BlobStore, LogProver } from '../core/ports/log.ts'
import type { FileStore } from '../core/ports/log-store.ts'
import { parseDecimal } from '../core/tlog/text.ts'
import { parseTilePath, tilePath } from '../core/tlog/tiles.ts'
import { CHECKPOINT_PATH } from './parts.ts'

/** What the read side serves from. */
export interface LogRoutesOptions {
  readonly files: FileStore
  readonly prover: LogProver
  /** What leaves point to. */
  readonly blobs: BlobStore
}

const BYTES = 'application/octet-stream'
const TEXT = 'text/plain; charset=utf-8'
const IMMUTABLE = 'public, max-age=31536000, immutable'
/** Long enough for a crowd, short enough for a client that waits for its leaf. */
const BRIEF = 'public, max-age=1'

const IndexParams = Type.Object({ index: Type.String({ maxLength: 20 }) })
const BlobParams = Type.Object({ hex: Type.String({ pattern: '^[0-9a-f]{64}$' }) })

/** `GET /log/checkpoint`, `/log/tile/…`, `/log/proof/:index`, `/log/blobs/sha256/:hex`. */
export const logRoutes: FastifyPluginAsync<LogRoutesOptions> = async (app, options) => {
  const { files, prover, blobs } = options

  app.get('/log/checkpoint', async (_, reply) => {
    const note = await files.read(CHECKPOINT_PATH)
    return send(reply, note, { type: TEXT, cache: BRIEF })
  })

  // The path's own parser is its schema: stricter, and TypeBox cannot name a wildcard.
  app.get<{ Params: { '*': string } }>('/log/tile/*', async ({ params }, reply) => {
    const path = `tile/${params['*']}`
    // A partial tile that is gone became full: the client falls back to that (tlog-tiles).
    const tile = parseTilePath(path, notFound('tile'))
    return send(reply, await files.read(tilePath(tile)), { type: BYTES, cache: IMMUTABLE })
  })

  app.get<{ Params: { index: string } }>(
    '/log/proof/:index',
    { schema: { params: IndexParams } },
    async ({ params }, reply) => {
      const index = parseDecimal(params.index, { code: 'ERR_REQUEST_INVALID', at: 'params.index' })
      return reply
        .type(TEXT)
        .header('cache-control', BRIEF)
        .send(await prover.proof(index))
    },
  )

  app.get<{ Params: { hex: string } }>(
    '/log/blobs/sha256/:hex',
    { schema: { params: BlobParams } },
    async ({ params }, reply) => {
      const blob = await blobs.get(`sha256:${params.hex}`)
      return send(reply, blob, { type: BYTES, cache: IMMUTABLE })
    },
  )
}

async function send(
  reply: FastifyReply,
  bytes: Uint8Array | undefined,
  { type, cache }: { readonly type: string; readonly cache: string },
): Promise<FastifyReply> {
  if (bytes === undefined) throw missing('resource')
  return reply.type(type).header('cache-control', cache).send(bytes)
}

function notFound(what: string): Blame {
  return { code: 'ERR_RESOURCE_NOT_FOUND', at: `log.${what}` }
}

function missing(what: string): VouchsafeError {
  return new VouchsafeError(notFound(what), 'not here')
}
