/** `vouchsafe key token`: who may administer, as a token and a line of the operators file. @packageDocumentation */
import type { Command } from 'commander'
import { toBase64url } from '../core/bytes/base64url.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { systemRandom } from '../drivers/random.ts'
import { createSecretFile, openSecretFile, replaceSecretFile } from '../drivers/signer/file.ts'
import { type OperatorsFile, parseOperators } from '../keybroker/config.ts'
import { tokenDigest } from '../server/auth.ts'
import type { CliContext } from './context.ts'
import { clean, jsonText } from './output.ts'
import { usage } from './usage.ts'

type Operator = OperatorsFile['operators'][number]

interface TokenFlags {
  readonly name: string
  readonly namespaces: string
  readonly operators?: string
  readonly out?: string
}

const TOKEN_SIZE = 32

/** Adds the command. */
export function registerToken(parent: Command, context: CliContext): void {
  parent
    .command('token')
    .description('make an operator token, and its line for the operators file')
    .requiredOption('--name <name>', 'of the operator')
    .requiredOption('--namespaces <list>', 'what may be administered, comma-separated; * is all')
    .option('--operators <file>', 'operators file to add the line to; made if absent')
    .option('--out <file>', 'put the token there (0600), not on the screen')
    .addHelpText(
      'after',
      `
Example:
  vouchsafe key token --name alice --namespaces '*' --operators operators.json --out alice.token
The service reads its operators at start: start it again afterwards.`,
    )
    .action((flags: TokenFlags) => {
      makeToken(flags, context)
    })
}

function makeToken(flags: TokenFlags, context: CliContext): void {
  const { name, out } = flags
  const token = toBase64url(systemRandom(TOKEN_SIZE))
  const namespaces = flags.namespaces.split(',')
  const operator: Operator = { name, token_sha256: tokenDigest(token), namespaces }
  parseOperators({ operators: [operator] })
  const list = flags.operators === undefined ? undefined : joined(flags.operators, operator)
  if (out !== undefined) createSecretFile(out, `${token}\n`)
  if (flags.operators !== undefined && list !== undefined) {
    replaceSecretFile(flags.operators, list)
    context.out(`${clean(flags.operators)} has ${name} now\n`)
  }
  if (out !== undefined) context.out(`${clean(out)} holds the token of ${name}\n`)
  const rest = {
    ...(out === undefined && { token }),
    ...(flags.operators === undefined && { operator }),
  }
  if (Object.keys(rest).length > 0) context.out(jsonText(rest))
}

/** The file as it will be; nothing is written but an empty list where there is none. */
function joined(file: string, operator: Operator): string {
  const blame = { code: 'ERR_CONFIG_INVALID', at: file } as const
  const value = parseJson(
    openSecretFile(file, () => jsonText({ operators: [] })),
    blame,
  )
  parseOperators(value)
  const { operators } = value as unknown as OperatorsFile
  if (operators.some(({ name }) => name === operator.name)) {
    throw usage('name', `${operator.name} is in ${file} already`)
  }
  return jsonText({ operators: [...operators, operator] })
}
