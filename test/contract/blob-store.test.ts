import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FileStore } from '../../src/core/ports/log-store.ts'
import { createBlobStore, openDirectory } from '../../src/drivers/blob/directory.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vouchsafe-blob-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

// A new driver of files (S3, say) is one more line here.
describe.each([['directory', async () => openDirectory(join(root, 'files'))]] as const)(
  'FileStore %s',
  (_, create) => {
    let files: FileStore
    beforeEach(async () => {
      files = await create()
    })

    it('gives back what was written, replaces it, and forgets what was removed', async () => {
      expect(await files.read('a/b')).toBeUndefined()
      await files.write([
        { path: 'a/b', bytes: bytesOf('one') },
        { path: 'a/c.d/e', bytes: bytesOf('two') },
        { path: 'empty', bytes: new Uint8Array() },
      ])
      expect(await files.read('a/b')).toEqual(bytesOf('one'))
      expect(await files.read('a/c.d/e')).toEqual(bytesOf('two'))
      expect(await files.read('empty')).toEqual(new Uint8Array())
      await files.write([{ path: 'a/b', bytes: bytesOf('three') }])
      expect(await files.read('a/b')).toEqual(bytesOf('three'))
      await files.remove(['a/b', 'a/c.d', 'never/was'])
      expect(await files.read('a/b')).toBeUndefined()
      expect(await files.read('a/c.d/e')).toBeUndefined()
    })

    it('has no file where there is a folder, nor below a file', async () => {
      await files.write([{ path: 'a/b', bytes: bytesOf('one') }])
      expect(await files.read('a')).toBeUndefined()
      expect(await files.read('a/b/c')).toBeUndefined()
    })

    it('writes many at once, and the same ones from two writers', async () => {
      const list = Array.from({ length: 50 }, (__, i) => ({
        path: `dir${i % 7}/${i}`,
        bytes: bytesOf(`file ${i}`),
      }))
      const other = await create()
      await Promise.all([files.write(list), other.write(list)])
      for (const { path, bytes } of list) expect(await other.read(path)).toEqual(bytes)
    })

    it('refuses paths that climb out or are not plain', async () => {
      for (const path of [
        '../x',
        'a/../x',
        '/x',
        'a//b',
        '',
        '.',
        '.tmp/x',
        'a/.b',
        'a\\b',
        'a\0b',
      ]) {
        await expect(files.read(path), path).rejects.toThrow(RangeError)
        await expect(files.write([{ path, bytes: bytesOf('x') }]), path).rejects.toThrow(RangeError)
        await expect(files.remove([path]), path).rejects.toThrow(RangeError)
      }
    })

    it('keeps nothing of the array it was given', async () => {
      const bytes = bytesOf('one')
      const written = files.write([{ path: 'a', bytes }])
      await written
      bytes.fill(0)
      const read = await files.read('a')
      expect(read).toEqual(bytesOf('one'))
    })
  },
)

describe.each([
  ['over a directory', async () => createBlobStore(await openDirectory(join(root, 'blobs')))],
] as const)('BlobStore %s', (_, create) => {
  const bytes = bytesOf('evidence')
  const hex = createHash('sha256').update(bytes).digest('hex')

  it('names by digest, puts twice, and gives back', async () => {
    const blobs = await create()
    expect(await blobs.get(`sha256:${hex}`)).toBeUndefined()
    expect(await blobs.put(bytes)).toBe(`sha256:${hex}`)
    expect(await blobs.put(bytes)).toBe(`sha256:${hex}`)
    expect(await blobs.get(`sha256:${hex}`)).toEqual(bytes)
    expect(await (await create()).get(`sha256:${hex}`)).toEqual(bytes)
  })

  it('has nothing under what is not a digest', async () => {
    const blobs = await create()
    await blobs.put(bytes)
    for (const digest of [hex, `sha256:${hex.toUpperCase()}`, `sha512:${hex}`, 'sha256:../x', '']) {
      expect(await blobs.get(digest)).toBeUndefined()
    }
  })

  it('never hands out damaged bytes, and repairs them', async () => {
    const blobs = await create()
    await blobs.put(bytes)
    writeFileSync(join(root, 'blobs/sha256', hex), 'evil')
    await expect(blobs.get(`sha256:${hex}`)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_STATE_INVALID', at: 'store.blob' }),
    )
    await blobs.put(bytes)
    expect(await blobs.get(`sha256:${hex}`)).toEqual(bytes)
    rmSync(join(root, 'blobs/sha256', hex))
    await blobs.put(bytes)
    expect(await blobs.get(`sha256:${hex}`)).toEqual(bytes)
  })
})

describe('BlobStore over any files', () => {
  const counted = async () => {
    const files = await openDirectory(join(root, 'counted'))
    const writes: (readonly string[])[] = []
    const write: FileStore['write'] = async (list) => {
      writes.push(list.map(({ path }) => path))
      await files.write(list)
    }
    return { files: { ...files, write }, writes }
  }

  it('what comes at the same time is written at the same time, and each only once', async () => {
    const { files, writes } = await counted()
    const blobs = createBlobStore(files)
    const texts = ['a', 'b', 'a', 'c', 'b']
    const digests = await Promise.all(texts.map(async (text) => blobs.put(bytesOf(text))))
    expect(new Set(digests).size).toBe(3)
    expect(writes.map((paths) => paths.length)).toEqual([3])
    await Promise.all(texts.map(async (text) => blobs.put(bytesOf(text))))
    expect(writes).toHaveLength(1)
  })

  it('is not sure of what another process wrote: that one may have crashed before the sync', async () => {
    const { files, writes } = await counted()
    await createBlobStore(files).put(bytesOf('a'))
    await createBlobStore(files).put(bytesOf('a'))
    expect(writes).toHaveLength(2)
  })

  it('a write that failed is an error to all who waited for it, and is tried again', async () => {
    const { files } = await counted()
    let full = true
    const write: FileStore['write'] = async (list) => {
      if (full) throw new Error('no space left on device')
      await files.write(list)
    }
    const blobs = createBlobStore({ ...files, write })
    const both = await Promise.allSettled([blobs.put(bytesOf('a')), blobs.put(bytesOf('b'))])
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    full = false
    const digest = await blobs.put(bytesOf('a'))
    expect(await blobs.get(digest)).toEqual(bytesOf('a'))
  })
})

describe('directory', () => {
  it.each([
    ['a pipe', (file: string) => execFileSync('mkfifo', [file])],
    [
      'a device',
      (file: string) => {
        symlinkSync('/dev/zero', file)
      },
    ],
    [
      'longer than anything of ours',
      (file: string) => {
        writeFileSync(file, '')
        truncateSync(file, 2 ** 40)
      },
    ],
  ])('waits for no file that is %s, and writes over it', async (_, make) => {
    const files = await openDirectory(root)
    make(join(root, 'a'))
    await expect(files.read('a')).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_STATE_INVALID',
        at: 'store.directory',
        message: expect.stringContaining(join(root, 'a')) as unknown,
      }),
    )
    await files.write([{ path: 'a', bytes: bytesOf('x') }])
    expect(await files.read('a')).toEqual(bytesOf('x'))
  })

  it('has a kind for what the system cannot read', async () => {
    const files = await openDirectory(root)
    symlinkSync(join(root, 'a'), join(root, 'a'))
    await expect(files.read('a')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE', at: 'store.directory' }),
    )
  })

  it('leaves no unfinished file behind, and sweeps old ones of crashed writers', async () => {
    const files = await openDirectory(root)
    const temporary = join(root, '.tmp')
    writeFileSync(join(temporary, 'old'), 'x')
    writeFileSync(join(temporary, 'new'), 'x')
    utimesSync(join(temporary, 'old'), new Date(0), new Date(0))
    await openDirectory(root)
    expect(readdirSync(temporary)).toEqual(['new'])
    rmSync(join(temporary, 'new'))
    await files.write([{ path: 'a/b', bytes: bytesOf('x') }])
    // A folder stands where the file should go.
    await expect(files.write([{ path: 'a', bytes: bytesOf('x') }])).rejects.toThrow()
    expect(readdirSync(temporary)).toEqual([])
    expect(existsSync(join(root, 'a/b'))).toBe(true)
  })

  it('is for nobody else to write to, whatever the umask', async () => {
    const before = process.umask(0)
    try {
      const files = await openDirectory(join(root, 'open'))
      await files.write([{ path: 'a/b', bytes: bytesOf('x') }])
      for (const path of ['', '.tmp', 'a', 'a/b']) {
        expect(statSync(join(root, 'open', path)).mode & 0o022, path).toBe(0)
      }
    } finally {
      process.umask(before)
    }
  })

  it('says so when it cannot be used', async () => {
    writeFileSync(join(root, 'file'), 'x')
    await expect(openDirectory(join(root, 'file/below'))).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_STATE_INVALID', at: 'store.directory' }),
    )
  })
})
