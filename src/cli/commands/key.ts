/** `vouchsafe key`: keys in a broker. @packageDocumentation */
import type { Command } from 'commander'
import type { Json } from '../../core/encoding/canonical-json.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { type KeyId, parseKeyUri } from '../../core/keys/uri.ts'
import { keyPath, openBroker } from '../broker-client.ts'
import type { CliContext } from '../context.ts'
import { readInput } from '../inputs.ts'
import { readKeyFile } from '../key-file.ts'
import { registerToken } from '../operator-token.ts'
import { clean, jsonText, table } from '../output.ts'
import type { ServiceCall, ServiceFlags } from '../service-client.ts'
import { usage } from '../usage.ts'

interface KeyFlags extends ServiceFlags {
  readonly json?: boolean
  readonly policy?: string
  readonly immutable?: boolean
  readonly keyFile?: string
  readonly maxReleases?: string
  readonly lease?: string
  readonly label?: readonly string[]
  readonly grace?: string
  readonly version?: string
  readonly immediate?: boolean
  readonly namespace?: string
}

type Action = (key: string, flags: KeyFlags) => Promise<void>

const PAGE = 200

/** Adds the commands. */
export function register(program: Command, context: CliContext): void {
  const key = program.command('key').description('create, show and change keys in a key broker')
  registerCreation(key, context)
  registerReading(key, context)
  registerChanges(key, context)
  registerToken(key, context)
}

function registerCreation(parent: Command, context: CliContext): void {
  command(parent, 'create', 'make a key')
    .requiredOption('--policy <file>', 'release policy, as JSON')
    .option('--immutable', 'the policy can never be changed')
    .option('--key-file <file>', 'use this data key instead of a new one')
    .option('--max-releases <n>', 'of each version')
    .option('--lease <seconds>', 'how long a release is good for')
    .option('--label <name=value...>', 'labels')
    .action(
      changing(context, async (id, flags, wrap) => ({
        method: 'POST',
        path: keyPath(id),
        body: {
          policy: await readPolicy(flags.policy ?? '', context),
          ...(flags.immutable === true && { policy_immutable: true }),
          ...(await wrap()),
          ...number('max_releases', flags.maxReleases),
          ...number('lease_seconds', flags.lease),
          ...(flags.label !== undefined && { labels: labels(flags.label) }),
        },
      })),
    )
  command(parent, 'rotate', 'add a version')
    .option('--key-file <file>', 'use this data key instead of a new one')
    .option('--grace <seconds>', 'end the older versions after so long')
    .action(
      changing(context, async (id, flags, wrap) => ({
        method: 'POST',
        path: `${keyPath(id)}/rotate`,
        body: { ...(await wrap()), ...number('grace_seconds', flags.grace) },
      })),
    )
}

function registerReading(parent: Command, context: CliContext): void {
  command(parent, 'get', 'show a key').action(
    changing(context, async (id) => ({ method: 'GET', path: keyPath(id) })),
  )
  withBroker(parent.command('list').description('show all keys'))
    .option('--namespace <name>', 'only these')
    .action(async (flags: KeyFlags) => list(flags, context))
}

function registerChanges(parent: Command, context: CliContext): void {
  for (const verb of ['disable', 'enable'] as const) {
    command(parent, verb, `${verb} a version`).action(
      changing(context, async (id) => ({
        method: 'POST',
        path: `${keyPath(id)}/${verb}`,
        body: { version: versionOf(id) },
      })),
    )
  }
  command(parent, 'destroy', 'destroy a version, after the waiting period')
    .option('--immediate', 'RISK: at once; nothing brings it back')
    .action(
      changing(context, async (id, { immediate = false }) => ({
        method: 'POST',
        path: `${keyPath(id)}/destroy`,
        body: { version: versionOf(id), immediate },
      })),
    )
  command(parent, 'policy', 'change the release policy')
    .requiredOption('--policy <file>', 'as JSON')
    .option('--immutable', 'it can never be changed again')
    .action(
      changing(context, async (id, { policy = '', immutable = false }) => ({
        method: 'PUT',
        path: `${keyPath(id)}/policy`,
        body: { policy: await readPolicy(policy, context), immutable },
      })),
    )
}

function command(parent: Command, name: string, description: string): Command {
  const uri = 'kbs:///namespace/type/name; ?version=N where one is meant'
  return withBroker(parent.command(name).description(description).argument('<key>', uri))
}

function withBroker(one: Command): Command {
  return one
    .option('--url <url>', 'key broker')
    .option('--token-file <file>', 'operator token')
    .option('--json', 'print JSON')
}

type Id = KeyId & { readonly version: number | undefined }
type Wrap = () => Promise<{ readonly material?: Json }>

/** One call about one key, and its answer printed. */
function changing(
  context: CliContext,
  callOf: (id: Id, flags: KeyFlags, wrap: Wrap) => Promise<ServiceCall>,
): Action {
  return async (uri, flags) => {
    const id = parseKeyUri(uri, { code: 'ERR_USAGE_INVALID', at: 'cli.key' })
    const broker = openBroker(flags)
    try {
      const wrap: Wrap = async () => {
        if (flags.keyFile === undefined) return {}
        const material = readKeyFile(flags.keyFile)
        try {
          return { material: await broker.wrap(id, material) }
        } finally {
          material.fill(0)
        }
      }
      const key = await broker.call(await callOf(id, flags, wrap))
      context.out(flags.json === true ? jsonText(key) : render(key))
    } finally {
      await broker.close()
    }
  }
}

async function list(flags: KeyFlags, context: CliContext): Promise<void> {
  const broker = openBroker(flags)
  const keys: Json[] = []
  try {
    let after: Json | undefined = null
    do {
      const query = new URLSearchParams({ limit: String(PAGE) })
      if (typeof after === 'string') query.set('after', after)
      if (flags.namespace !== undefined) query.set('namespace', flags.namespace)
      const page = await broker.call({ method: 'GET', path: `/v1/keys?${query.toString()}` })
      if (Array.isArray(page['keys'])) keys.push(...(page['keys'] as readonly Json[]))
      after = page['next']
    } while (typeof after === 'string')
  } finally {
    await broker.close()
  }
  if (flags.json === true) context.out(jsonText(keys))
  else for (const key of keys) context.out(render(key as Readonly<Record<string, Json>>))
}

function render(key: Readonly<Record<string, Json>>): string {
  const versions = Array.isArray(key['versions']) ? (key['versions'] as readonly Json[]) : []
  const rows = versions.map((one) => {
    const version = one as Readonly<Record<string, Json>>
    const releases = `${text(version['releases'])} releases`
    return [`  ${text(version['version'])}`, text(version['state']), releases]
  })
  const head = `${text(key['uri'])}  policy ${text(key['policy_digest'])}\n`
  return clean(head.trimEnd()) + '\n' + table(rows)
}

function text(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function versionOf({ version }: Id): number {
  if (version === undefined) throw usage('key', 'say which version: …?version=N')
  return version
}

function number(name: string, value: string | undefined): Readonly<Record<string, number>> {
  if (value === undefined) return {}
  if (!/^\d{1,12}$/.test(value)) throw usage(name.replaceAll('_', '-'), 'want a whole number')
  return { [name]: Number(value) }
}

function labels(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw usage('label', 'want name=value')
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

async function readPolicy(file: string, context: CliContext): Promise<Json> {
  const blame = { code: 'ERR_POLICY_INVALID', at: 'policy' } as const
  return parseJson(new TextDecoder().decode(await readInput(file, context)), blame)
}
