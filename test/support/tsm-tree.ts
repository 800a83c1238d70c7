/**
 * The kernel's report interface, emulated on an ordinary directory: attribute files appear with the
 * entry and go with it, every write counts in `generation`, and `outblob` is computed from what was
 * written. It follows Linux' drivers/virt/coco/tsm.c, down to the error numbers; it is an emulation
 * all the same, and has never met the hardware.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { KERNEL_TREE, type ReportTree } from '../../src/drivers/attester/configfs-tsm.ts'

export interface TsmEmulation {
  readonly provider: string
  /** What the hardware makes of 64 bytes. */
  readonly quote: (inblob: Uint8Array) => Uint8Array
  readonly auxblob?: Uint8Array
  /** Called before `outblob` is read: what another process does to the same entry meanwhile. */
  readonly interfere?: (entry: string, tree: ReportTree) => Promise<void>
}

export interface TsmTree {
  readonly tree: ReportTree
  /** Every path written, with its length. */
  readonly writes: readonly string[]
}

export function emulateTsm(emulation: TsmEmulation): TsmTree {
  const writes: string[] = []
  const bump = async (entry: string): Promise<void> => {
    const path = join(entry, 'generation')
    await writeFile(path, `${Number(await readFile(path, 'utf8')) + 1}\n`)
  }
  const tree: ReportTree = {
    makeEntry: async (path) => {
      await KERNEL_TREE.makeEntry(path)
      await writeFile(join(path, 'generation'), '0\n')
      await writeFile(join(path, 'provider'), `${emulation.provider}\n`)
      for (const name of ['inblob', 'outblob', 'privlevel']) await writeFile(join(path, name), '')
      if (emulation.auxblob) await writeFile(join(path, 'auxblob'), emulation.auxblob)
    },
    write: async (path, bytes) => {
      await KERNEL_TREE.write(path, bytes)
      writes.push(`${basename(path)}:${bytes.length}`)
      await bump(dirname(path))
    },
    read: async (path) => {
      if (basename(path) === 'outblob') {
        const entry = dirname(path)
        await emulation.interfere?.(entry, tree)
        const inblob = await readFile(join(entry, 'inblob'))
        if (inblob.length === 0) throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' })
        await writeFile(path, emulation.quote(inblob))
      }
      return KERNEL_TREE.read(path)
    },
    removeEntry: async (path) => {
      for (const name of await readdir(path)) await rm(join(path, name))
      await KERNEL_TREE.removeEntry(path)
    },
  }
  return { tree, writes }
}
