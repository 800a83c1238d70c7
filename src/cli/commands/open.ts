/** `vouchsafe open`: the inverse of `seal`, for owners who hold the key. @packageDocumentation */
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { decodeManifest, MAX_MANIFEST_BYTES, manifestDigest } from '../../core/weights/manifest.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { createSegmentCipher, startDigest } from '../../drivers/weights/node.ts'
import { keysOf, openWeights } from '../../enclave/weights/open.ts'
import type { CliContext } from '../context.ts'
import { readInput } from '../inputs.ts'
import { readKeyFile } from '../key-file.ts'
import { createDirectory } from '../new-directory.ts'
import { jsonText } from '../output.ts'
import { type Progress, startProgress } from '../progress.ts'
import { usage } from '../usage.ts'

interface OpenFlags {
  readonly keyFile: string
  readonly out: string
  readonly manifest?: string
  readonly digest?: string
  readonly json?: boolean
}

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('open')
    .description('open sealed model files with the key that their owner kept')
    .argument('<directory>', 'what vouchsafe seal wrote')
    .requiredOption('--key-file <file>', 'the data key')
    .requiredOption('--out <directory>', 'where the files go; appears only when all are right')
    .option('--manifest <file>', 'another manifest than the one in the directory')
    .option('--digest <digest>', 'sha256:… that the manifest must have')
    .option('--json', 'print JSON')
    .action(async (directory: string, flags: OpenFlags) => open(directory, flags, context))
}

async function open(directory: string, flags: OpenFlags, context: CliContext): Promise<void> {
  const hasher = createCrypto()
  const bytes = await readInput(
    flags.manifest ?? join(directory, 'manifest.json'),
    context,
    MAX_MANIFEST_BYTES,
  )
  const manifest = decodeManifest(bytes)
  const digest = await manifestDigest(bytes, hasher)
  if (flags.digest !== undefined && flags.digest !== digest) {
    throw usage('digest', `the manifest is ${digest}`)
  }
  const [key, ...others] = keysOf(manifest)
  if (key === undefined || others.length > 0) throw usage('key-file', 'the model has several keys')
  const dataKey = readKeyFile(flags.keyFile)
  const total = manifest.files.reduce((sum, { size }) => sum + size, 0)
  const progress = startProgress('opening', total, context)
  try {
    const opened = await createDirectory(flags.out, async (target) =>
      openWeights({
        manifest,
        sealed: directory,
        target,
        dataKeys: new Map([[key, dataKey]]),
        cipher: createSegmentCipher(),
        startDigest: () => watched(progress),
        hasher,
      }),
    )
    progress.done()
    const out = resolve(flags.out)
    if (flags.json === true) context.out(jsonText({ ...opened, manifest: digest, out }))
    else context.out(`Opened ${opened.files} files, ${opened.bytes} bytes, into ${out}\n`)
  } finally {
    dataKey.fill(0)
  }
}

/** Plaintext is digested as it comes, so the digest knows how far it is. */
function watched(progress: Progress): ReturnType<typeof startDigest> {
  const digest = startDigest()
  return {
    update: (bytes) => {
      progress.add(bytes.length)
      digest.update(bytes)
    },
    digest: () => digest.digest(),
  }
}
