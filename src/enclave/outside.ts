/**
 * What in a request would make the model server talk to somebody outside: an address in a message, a
 * tool that another server runs, a cache that another server keeps. Each tells a stranger what is
 * being asked.
 *
 * @packageDocumentation
 */
import type { Json } from '../core/encoding/canonical-json.ts'
import { invalid, type OpenAiError } from './model/openai-error.ts'

type Members = Readonly<Record<string, Json | undefined>>

/** How deep and how wide we look for addresses; more than any request of this API has. */
const MAX_NODES = 200_000
/** The client runs these itself. Every other kind (`mcp`, `web_search`, …) somebody else does. */
const OWN_TOOLS: ReadonlySet<Json | undefined> = new Set(['function', 'custom'])
/** OpenAI's search; where vLLM and SGLang fetch a cache from. */
const REACHING = ['web_search_options', 'kv_transfer_params', 'bootstrap_host'] as const

/** The refusal for a body that reaches outside; `undefined` for one that does not. */
export function reachingOutside(body: Members): OpenAiError | undefined {
  const reaching = REACHING.find((name) => (body[name] ?? null) !== null)
  if (reaching !== undefined) return denied(reaching, 'is not served here')
  return foreignTool(body['tools'] ?? null) ?? address(body)
}

function foreignTool(tools: Json): OpenAiError | undefined {
  if (tools === null) return undefined
  const list = Array.isArray(tools) ? (tools as readonly Json[]) : [null]
  const own = list.every((tool) => isMembers(tool) && OWN_TOOLS.has(tool['type']))
  return own ? undefined : denied('tools', 'must be functions that the client runs')
}

function address(body: Members): OpenAiError | undefined {
  const pending: (Json | undefined)[] = [body['messages'], body['input']]
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen > MAX_NODES) return invalid('too many parts', 'messages')
    const value = pending.pop()
    if (typeof value !== 'object' || value === null) continue
    for (const [name, member] of Object.entries(value as Members)) {
      if (isAddress(name, member)) return denied(name, 'must be a data: URL')
      // Texts and numbers hold no addresses that a model server would follow.
      if (typeof member === 'object') pending.push(member)
    }
  }
  return undefined
}

/** `image_url`, `video_url`, `file_url`: a text, or an object with `url`. `data:` stays here. */
function isAddress(name: string, member: Json | undefined): boolean {
  if (!name.endsWith('_url')) return false
  const url = isMembers(member) ? member['url'] : member
  return typeof url === 'string' && !url.startsWith('data:')
}

function denied(param: string, want: string): OpenAiError {
  const message = `${param} ${want}: the enclave asks nobody outside`
  return { status: 400, message, code: 'fetch-denied', param }
}

function isMembers(value: Json | undefined): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
