/** `vouchsafe tenant`: API keys and bills of a gateway's clients. @packageDocumentation */

import { rmSync } from 'node:fs'
import type { Command } from 'commander'
import type { Json } from '../../core/encoding/canonical-json.ts'
import { createSecretFile, replaceSecretFile } from '../../drivers/signer/file.ts'
import type { CliContext } from '../context.ts'
import { clean, jsonText, table } from '../output.ts'
import { badAnswer, openService, type ServiceClient, type ServiceFlags } from '../service-client.ts'

interface TenantFlags extends ServiceFlags {
  readonly json?: boolean
  readonly out?: string
}

/** Adds the commands. */
export function register(program: Command, context: CliContext): void {
  const tenant = program
    .command('tenant')
    .description('make, list and revoke API keys of a gateway, and read bills')
  withService(tenant.command('create-key').argument('<name>', 'of the tenant'))
    .description('make an API key; its secret is shown once')
    .option('--out <file>', 'put the secret there (0600), not on the screen')
    .action(async (name: string, flags: TenantFlags) => createKey(name, flags, context))
  withService(tenant.command('list-keys'))
    .description('show all API keys, never their secrets')
    .action(async (flags: TenantFlags) => listKeys(flags, context))
  withService(tenant.command('revoke-key').argument('<id>', 'as list-keys shows it'))
    .description('refuse an API key from now on')
    .action(async (id: string, flags: TenantFlags) => {
      await using(flags, async (service) =>
        service.call({ method: 'DELETE', path: `/v1/api-keys/${encodeURIComponent(id)}` }),
      )
      context.out(flags.json === true ? jsonText({ id, revoked: true }) : `${clean(id)} revoked\n`)
    })
  withService(tenant.command('usage').argument('<name>', 'of the tenant'))
    .description('show what a tenant has used, by model and by how it was settled')
    .action(async (name: string, flags: TenantFlags) => showUsage(name, flags, context))
}

function withService(command: Command): Command {
  return command
    .option('--url <url>', 'gateway')
    .option('--token-file <file>', 'token of an operator of everything')
    .option('--json', 'print JSON')
}

async function using<T>(
  flags: TenantFlags,
  work: (service: ServiceClient) => Promise<T>,
): Promise<T> {
  const service = openService(flags)
  try {
    return await work(service)
  } finally {
    await service.close()
  }
}

async function createKey(name: string, flags: TenantFlags, context: CliContext): Promise<void> {
  const { out, json = false } = flags
  // Taken before the key is made: a key whose secret has no place would be lost.
  if (out !== undefined) createSecretFile(out, '')
  const made = await using(flags, async (service) => {
    try {
      return await service.call({ method: 'POST', path: '/v1/api-keys', body: { tenant: name } })
    } catch (cause) {
      if (out !== undefined) rmSync(out)
      throw cause
    }
  })
  const { id, secret, ...rest } = made
  if (typeof id !== 'string' || typeof secret !== 'string') throw badAnswer('no API key')
  if (out !== undefined) replaceSecretFile(out, `${secret}\n`)
  if (json) context.out(jsonText({ id, ...rest, ...(out === undefined && { secret }) }))
  else if (out === undefined) context.out(`${clean(id)}  ${clean(secret)}\n`)
  else context.out(`${clean(id)}  ${clean(out)} holds the secret\n`)
}

async function listKeys(flags: TenantFlags, context: CliContext): Promise<void> {
  const { api_keys: keys } = await using(flags, async (service) =>
    service.call({ method: 'GET', path: '/v1/api-keys' }),
  )
  if (flags.json === true) {
    context.out(jsonText(keys))
    return
  }
  const rows = listOf(keys).map((key) => [
    text(key['id']),
    text(key['tenant']),
    `made ${timeOf(key['created_at'])}`,
    key['revoked_at'] === null ? 'good' : `revoked ${timeOf(key['revoked_at'])}`,
  ])
  context.out(table(rows))
}

async function showUsage(name: string, flags: TenantFlags, context: CliContext): Promise<void> {
  const path = `/v1/usage/${encodeURIComponent(name)}`
  const answer = await using(flags, async (service) => service.call({ method: 'GET', path }))
  if (flags.json === true) {
    context.out(jsonText(answer))
    return
  }
  const rows = listOf(answer['totals']).map((total) => [
    text(total['model']),
    text(total['state']),
    `${text(total['requests'])} requests`,
    `${text(total['input_tokens'])} in`,
    `${text(total['output_tokens'])} out`,
  ])
  context.out(rows.length === 0 ? 'nothing used yet\n' : table(rows))
}

type Members = Readonly<Record<string, Json | undefined>>

function listOf(value: Json | undefined): readonly Members[] {
  return Array.isArray(value) ? (value as readonly Members[]) : []
}

function text(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? clean(String(value)) : ''
}

function timeOf(seconds: Json | undefined): string {
  return typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : ''
}
