/** The sealing fetch over a real gateway and a real enclave, with the network in the test's hands. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCallNames } from '../../../src/client/idempotency.ts'
import { connect } from '../../../src/client/index.ts'
import { readCall } from '../../../src/client/openai-request.ts'
import { parseHints } from '../../../src/core/sealing/hints.ts'
import { PROBLEM_TYPES } from '../../../src/core/sealing/problem-types.ts'
import { type Stage, startStage } from '../../support/client-stage.ts'

const CANARY = 'the prompt that nobody else may read'
const PROBLEM = { 'content-type': 'application/problem+json' }
let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(async () => stage.close())
afterEach(() => {
  stage.keyset((answer) => answer)
  for (const path of ['/ohttp', '/v1/keyset']) stage.replace(path, undefined)
})

async function open(changes: object = {}) {
  const session = await connect({ ...stage.options, ...changes })
  return {
    session,
    post: async (path: string, init: RequestInit) => session.fetch(session.baseURL + path, init),
    ask: async (content: string, more?: Record<string, unknown>, init: RequestInit = {}) =>
      session.fetch(`${session.baseURL}/chat/completions`, {
        ...stage.call(content, more),
        ...init,
      }),
  }
}
/** What went to a path since `from`. */
const sent = (path: string, from = 0) =>
  stage
    .outside()
    .slice(from)
    .filter((line) => new URL(line.split(' ')[0] ?? '').pathname === path)
const mark = () => stage.outside().length
const problem = (status: number, document: object) => async () =>
  new Response(JSON.stringify(document), { status, headers: PROBLEM })
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code

describe('secure fetch', () => {
  it('seals: nothing of the prompt or of the caller is outside', async () => {
    const from = mark()
    const { ask } = await open()
    const init = stage.call(CANARY)
    const headers = {
      ...(init.headers as Record<string, string>),
      authorization: 'Bearer sk-callers-own',
      'user-agent': 'OpenAI/JS',
      'x-stainless-os': 'Linux',
    }
    const answer = await ask(CANARY, {}, { headers })
    expect(await answer.text()).toContain(CANARY)
    const outside = stage.outside().slice(from).join('\n')
    expect(outside).toContain('vouchsafe-hints')
    expect(outside).not.toMatch(/nobody else|callers-own|stainless|OpenAI/i)
  })

  it('hints what routing and billing need, and nothing else', async () => {
    const from = mark()
    const { ask } = await open()
    await (
      await ask('x', { stream: true, max_tokens: 7, max_completion_tokens: 9, user: 'me' })
    ).text()
    const [line = ''] = sent('/ohttp', from)
    const [, value = '""'] = /\["vouchsafe-hints",("(?:[^"\\]|\\.)*")\]/.exec(line) ?? []
    const { nodes, ...hints } = parseHints(JSON.parse(value) as string)
    expect(hints).toEqual({ model: stage.model, api: 'chat', stream: true, maxOut: 9 })
    expect(nodes).toHaveLength(1)
  })

  it('a number that is no count is not hinted, and the model may refuse it', async () => {
    const { ask } = await open()
    for (const odd of [-1, 1.5, 1e300]) {
      const answer = await ask('x', { max_tokens: odd })
      expect(answer.headers.get('vouchsafe-error-source')).toBeNull()
      await answer.text()
    }
  })

  it('seals nothing when verification fails', async () => {
    const from = mark()
    stage.keyset((answer) => ({ ...answer, statement: `${String(answer['statement'])} ` }))
    const { ask } = await open()
    const answer = await ask(CANARY)
    expect([answer.status, await codeOf(answer)]).toEqual([403, 'ERR_KEYSET_REFUSED'])
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(answer.headers.get('vouchsafe-error-source')).toBe('client')
    expect(sent('/ohttp', from)).toEqual([])
    expect(stage.outside().slice(from).join()).not.toContain('nobody else')
  })

  it.each<[string, string, RequestInit]>([
    ['a path of no sealed form', '/files', { method: 'POST' }],
    ['a body that is not JSON', '/chat/completions', { method: 'POST', body: CANARY }],
    [
      'a body without a model',
      '/chat/completions',
      { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
    ],
    [
      'a model that no header could carry',
      '/chat/completions',
      { method: 'POST', body: '{"model":"ü"}', headers: { 'content-type': 'application/json' } },
    ],
    ['a deletion', '/models/toy', { method: 'DELETE' }],
  ])('%s is refused here, and nothing is sent', async (_, path, init) => {
    const from = mark()
    const { post } = await open()
    const answer = await post(path, init)
    expect([answer.status, await codeOf(answer)]).toEqual([400, 'ERR_REQUEST_INVALID'])
    expect(stage.outside().length).toBe(from)
  })

  it('a URL elsewhere is refused: only what is below baseURL is ours', async () => {
    const { session } = await open()
    for (const url of ['https://api.openai.com/v1/chat/completions', `${session.baseURL}.evil/x`]) {
      const answer = await session.fetch(url, stage.call(CANARY))
      expect([answer.status, await codeOf(answer)]).toEqual([400, 'ERR_REQUEST_INVALID'])
    }
  })

  it('takes a Request, too', async () => {
    const { session } = await open()
    const request = new Request(`${session.baseURL}/chat/completions`, stage.call('from a Request'))
    expect(await (await session.fetch(request)).text()).toContain('from a Request')
  })
})

describe('what comes back in clear', () => {
  it.each([200, 201, 204, 302])('%i is no answer to a sealed request', async (status) => {
    const { ask } = await open()
    stage.replace(
      '/ohttp',
      async () => new Response(status === 204 ? null : '{"choices":[]}', { status }),
    )
    const answer = await ask('x')
    expect([answer.status, await codeOf(answer)]).toEqual([502, 'ERR_ENVELOPE_UNSUPPORTED'])
  })

  it('a unary answer to a chunked request is none either', async () => {
    const { ask } = await open()
    const headers = { 'content-type': 'message/ohttp-res' }
    stage.replace('/ohttp', async () => new Response(new Uint8Array(64), { headers }))
    expect((await ask('x')).status).toBe(502)
  })

  it('an error is shown, with no header that could do anything', async () => {
    const { ask } = await open()
    const headers = { ...PROBLEM, 'set-cookie': 'a=b', link: '<x>', 'retry-after': '3' }
    const body = JSON.stringify({ error: { message: 'quota' } })
    stage.replace('/ohttp', async () => new Response(body, { status: 429, headers }))
    const answer = await ask('x')
    expect([answer.status, await answer.text()]).toEqual([429, body])
    expect([...answer.headers.keys()].sort()).toEqual([
      'content-type',
      'retry-after',
      'vouchsafe-error-source',
    ])
    expect(answer.headers.get('vouchsafe-error-source')).toBe('unauthenticated')
  })

  it('an error without end is cut off', async () => {
    const { ask } = await open()
    const endless = () =>
      new ReadableStream({
        pull: (controller) => {
          controller.enqueue(new Uint8Array(16 * 1024))
        },
      })
    stage.replace('/ohttp', async () => new Response(endless(), { status: 500 }))
    expect(await codeOf(await ask('x'))).toBe('ERR_UPSTREAM_UNAVAILABLE')
  })

  it('"stale key" with the same keyset again: one more verification, no second try', async () => {
    const { ask } = await open()
    const from = mark()
    stage.replace('/ohttp', problem(400, { type: PROBLEM_TYPES['key-unknown'] }))
    const answer = await ask('x')
    expect([answer.status, await codeOf(answer)]).toEqual([400, 'ERR_ENVELOPE_KEY_UNKNOWN'])
    expect(sent('/ohttp', from)).toHaveLength(1)
    expect(sent('/v1/keyset', from)).toHaveLength(2)
  })

  it('with another status it is no signal', async () => {
    const { ask } = await open()
    const from = mark()
    stage.replace('/ohttp', problem(500, { type: PROBLEM_TYPES['key-unknown'] }))
    expect((await ask('x')).status).toBe(500)
    expect(sent('/v1/keyset', from)).toHaveLength(1)
  })

  it('only the very type is a signal', async () => {
    const { ask } = await open()
    await ask('first')
    for (const type of ['about:blank', PROBLEM_TYPES.date, PROBLEM_TYPES.malformed]) {
      const from = mark()
      stage.replace('/ohttp', problem(400, { type }))
      expect((await ask('x')).status).toBe(400)
      expect(sent('/v1/keyset', from)).toEqual([])
    }
  })

  it('"stale key" with new keys behind it is verified and sealed anew, once', async () => {
    const { ask, session } = await open()
    await (await ask('before')).text()
    const [before] = session.verifications()
    let refused = 0
    stage.replace('/ohttp', async (url, init) => {
      if (refused++ > 0) return fetch(url, init)
      await stage.restart()
      return problem(400, { type: PROBLEM_TYPES['key-unknown'] })()
    })
    const from = mark()
    expect(await (await ask('after')).text()).toContain('after')
    const [after] = session.verifications()
    expect(after?.keysetDigest).not.toBe(before?.keysetDigest)
    const bodies = sent('/ohttp', from)
    expect(bodies).toHaveLength(2)
    expect(bodies[0]).not.toBe(bodies[1])
  })
})

describe('a caller that leaves', () => {
  it('before the answer gets its own reason back, not a refusal', async () => {
    const { ask } = await open()
    const gone = new AbortController()
    stage.replace('/ohttp', async (_, init) => {
      gone.abort(new Error('enough'))
      return fetch('http://127.0.0.1:9/', init ?? {})
    })
    await expect(ask('x', {}, { signal: gone.signal })).rejects.toThrow('enough')
  })

  it('is told so even if the answer was cut because of it', async () => {
    const { ask } = await open()
    const gone = new AbortController()
    stage.replace('/ohttp', async (url, init) => {
      const answer = await fetch(url, init)
      gone.abort(new Error('enough'))
      const headers = { 'content-type': answer.headers.get('content-type') ?? '' }
      return new Response(new Uint8Array(3), { headers })
    })
    await expect(ask('x', {}, { signal: gone.signal })).rejects.toThrow('enough')
  })
})

describe('retries', () => {
  it('of one call share an idempotency key; another call has another', async () => {
    const nameOf = createCallNames(stage.options.platform)
    const call = async (content: string, retry: number) =>
      readCall('/v1/chat/completions', {
        ...stage.call(content),
        headers: { 'content-type': 'application/json', 'x-stainless-retry-count': String(retry) },
      })
    const first = await nameOf(await call('a', 0))
    expect(await nameOf(await call('a', 1))).toBe(first)
    expect(await nameOf(await call('a', 2))).toBe(first)
    expect(await nameOf(await call('b', 1))).not.toBe(first)
    // Asked again on purpose is another request, and is to be answered again.
    expect(await nameOf(await call('a', 0))).not.toBe(first)
  })
})
