import { describe, expect, it } from 'vitest'
import { parseRim } from '../../../src/core/evidence/nvidia-spdm/rim.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { mintNvidiaPki, mintRim, type RimOptions } from '../../../src/testing/index.ts'
import { appraiseNvidia, failures, NOW, nvidiaWorld } from '../../support/nvidia.ts'

const { pki, good } = nvidiaWorld()
const vbios = mintRim(pki, { kind: 'vbios' })
const driver = (options: Partial<RimOptions>) => mintRim(pki, { kind: 'driver', ...options })
const ask = async (...rims: readonly Uint8Array[]) =>
  failures(
    await appraiseNvidia({
      ...good,
      endorsements: { ...good.endorsements, rims: [...rims, vbios] },
    }),
  )
const bytes = (byte: number) => new Uint8Array(48).fill(byte)
const DS = 'http://www.w3.org/2000/09/xmldsig#'
const namespaces = (count: number) =>
  Array.from({ length: count }, (_, i) => ` xmlns:n${i}="urn:${i}"`).join('')
const attributes = (count: number) => Array.from({ length: count }, (_, i) => ` a${i}=""`).join('')

describe('a manifest', () => {
  it('is believed if digest and signature hold', async () => {
    expect(await ask(driver({}))).toEqual([])
  })

  it.each<[string, Partial<RimOptions>]>([
    [
      'a measurement replaced after signing',
      { signed: (xml) => xml.replace('ns2:Hash0="08', 'ns2:Hash0="09') },
    ],
    ['a signature by another key', { key: mintKey('ES384') }],
    [
      'a text node added after signing',
      { signed: (xml) => xml.replace('<ns0:Payload>', '<ns0:Payload> ') },
    ],
    [
      'another digest in SignedInfo',
      {
        signed: (xml) =>
          xml.replace(/<ds:DigestValue>./, (m) =>
            m.endsWith('A') ? '<ds:DigestValue>B' : '<ds:DigestValue>A',
          ),
      },
    ],
  ])('%s: signature', async (_, options) => {
    expect(await ask(driver(options))).toEqual(['nvgpu.driver_rim.signature'])
  })

  it('whose first certificate is not its signer’s is not believed', async () => {
    const certificates = pki.rim.slice(1).map(({ der }) => der)
    expect(await ask(driver({ certificates }))).toEqual(['nvgpu.driver_rim.signature'])
  })

  it.each<[string, Partial<RimOptions>]>([
    ['no root', { certificates: pki.rim.slice(0, 3).map(({ der }) => der) }],
    ['nothing between', { certificates: [0, 3].map((i) => pki.rim[i]?.der ?? bytes(0)) }],
  ])('a chain with %s is none', async (_, options) => {
    expect(await ask(driver(options))).toContain('nvgpu.driver_rim.chain')
  })

  it('under another root is not believed', async () => {
    const other = mintNvidiaPki({ at: NOW })
    expect(await ask(mintRim(other, { kind: 'driver' }))).toEqual(['nvgpu.driver_rim.anchor'])
  })

  it('after its signer ended is not believed, until NVIDIA signs anew', async () => {
    const ended = { notAfter: new Date(NOW.getTime() - 1000) }
    const old = mintNvidiaPki({ at: NOW, signer: ended })
    const rim = mintRim(
      { ...old, rim: [old.rim[0], pki.rim[1], pki.rim[2], pki.rim[3]] },
      { kind: 'driver' },
    )
    expect(await ask(rim)).toContain('nvgpu.driver_rim.validity')
    expect(await ask(rim, driver({}))).toEqual([])
  })

  it('signed by a CA, rather than by a signer, is not believed', async () => {
    const [, l3, ca, root] = pki.rim
    const certificates = [l3, ca, root].map(({ der }) => der)
    expect(await ask(driver({ key: l3.key, certificates }))).toEqual(['nvgpu.driver_rim.signature'])
  })

  it('one that is met is taken, wherever it stands among others of its version', async () => {
    const other = driver({ golden: { 30: [bytes(0x77)] } })
    for (const rims of [
      [other, driver({})],
      [driver({}), other],
    ]) {
      expect(await ask(...rims)).toEqual([])
    }
    expect(await ask(other)).toEqual(['nvgpu.policy.debug', 'nvgpu.measurements.driver'])
  })

  it('of another version, product or edition is not the one', async () => {
    for (const options of [{ version: '590.13' }, { product: 'GB100' }, { edition: 'SWITCH' }]) {
      await expect(ask(driver(options))).rejects.toMatchObject({ at: 'nvidia.rim.driver' })
    }
  })
})

describe('a manifest that is not in the profile is no manifest', () => {
  it.each<[string, Partial<RimOptions>]>([
    ['a document type', { signed: (xml) => `<!DOCTYPE x [<!ENTITY a "b">]>${xml}` }],
    ['a comment', { signed: (xml) => xml.replace('<ns0:Payload>', '<ns0:Payload><!-- -->') }],
    [
      'a processing instruction',
      { signed: (xml) => xml.replace('<ns0:Payload>', '<ns0:Payload><?x y?>') },
    ],
    ['CDATA', { signed: (xml) => xml.replace('<ns0:Payload>', '<ns0:Payload><![CDATA[ ]]>') }],
    [
      'two signatures',
      { signed: (xml) => xml.replace(/<ds:Signature .*<\/ds:Signature>/s, (s) => s + s) },
    ],
    ['no signature', { signed: (xml) => xml.replace(/<ds:Signature .*<\/ds:Signature>/s, '') }],
    [
      'a signature further in',
      { signed: (xml) => xml.replace(/(<ds:Signature .*<\/ds:Signature>)/s, '<x>$1</x>') },
    ],
    [
      'namespaces without end',
      { unsigned: (xml) => xml.replace(' corpus=', `${namespaces(40)} corpus=`) },
    ],
    [
      'attributes without end',
      { unsigned: (xml) => xml.replace(' corpus=', `${attributes(200)} corpus=`) },
    ],
    [
      'another canonicalisation',
      { signedInfo: (xml) => xml.replace('2006/12/xml-c14n11', '2001/10/xml-exc-c14n#') },
    ],
    [
      'another transform',
      {
        signedInfo: (xml) =>
          xml.replace(`${DS}enveloped-signature`, 'http://www.w3.org/TR/1999/REC-xslt-19991116'),
      },
    ],
    [
      'a missing transform',
      {
        signedInfo: (xml) =>
          xml.replace(/<ds:Transform A[^>]*enveloped-signature"><\/ds:Transform>/, ''),
      },
    ],
    ['one part of the document only', { signedInfo: (xml) => xml.replace('URI=""', 'URI="#x"') }],
    ['no URI', { signedInfo: (xml) => xml.replace(' URI=""', '') }],
    [
      'a second reference',
      { signedInfo: (xml) => xml.replace(/(<ds:Reference.*<\/ds:Reference>)/s, '$1$1') },
    ],
    [
      'another digest',
      { signedInfo: (xml) => xml.replace('xmldsig-more#sha384', 'xmlenc#sha256') },
    ],
    ['HMAC', { signedInfo: (xml) => xml.replace('#ecdsa-sha384', '#hmac-sha384') }],
    [
      'a key by itself',
      { signed: (xml) => xml.replace('<ds:X509Data>', '<ds:KeyValue></ds:KeyValue><ds:X509Data>') },
    ],
    ['an index twice', { unsigned: (xml) => xml.replace('index="8"', 'index="7"') }],
    ['a hash too few', { unsigned: (xml) => xml.replace('alternatives="1"', 'alternatives="2"') }],
    ['a short hash', { unsigned: (xml) => xml.replace(/ns2:Hash0="00/, 'ns2:Hash0="') }],
    [
      'neither active nor not',
      { unsigned: (xml) => xml.replace('active="True"', 'active="true"') },
    ],
    ['nothing active', { unsigned: (xml) => xml.replaceAll('active="True"', 'active="False"') }],
    ['a patch', { unsigned: (xml) => xml.replace('patch="false"', 'patch="true"') }],
    [
      'another payload besides',
      { unsigned: (xml) => xml.replace(/(<ns0:Payload>.*<\/ns0:Payload>)/s, '$1$1') },
    ],
    [
      'a resource of another kind',
      { unsigned: (xml) => xml.replace('<ns0:Resource', '<ns0:File') },
    ],
    ['unclosed elements', { signed: (xml) => xml.slice(0, -10) }],
    [
      'half a megabyte',
      { unsigned: (xml) => xml.replace('<ns0:Payload>', `<ns0:Payload>${' '.repeat(600_000)}`) },
    ],
    [
      'too many elements',
      {
        unsigned: (xml) => xml.replace('</ns0:Payload>', `${'<a></a>'.repeat(5000)}</ns0:Payload>`),
      },
    ],
    [
      'depth',
      {
        unsigned: (xml) =>
          xml.replace('</ns0:Payload>', `${'<a>'.repeat(50)}${'</a>'.repeat(50)}</ns0:Payload>`),
      },
    ],
    [
      'a prefix that nobody declared',
      { signed: (xml) => xml.replace('<ns0:Payload>', '<ns9:Payload>') },
    ],
  ])('%s', async (_, options) => {
    const rim = driver(options)
    await expect(parseRim(rim)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
    // To an appraisal it is as if it were not there.
    await expect(ask(rim)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'nvidia.rim.driver',
    })
  })

  it('one that would take minutes to canonicalise is refused before that', async () => {
    // 500 namespaces × 2000 elements, in 30 kB: seven seconds, and 37 for twice as many of each.
    const flood = (xml: string) =>
      xml
        .replace(' corpus=', `${namespaces(500)} corpus=`)
        .replace('<ns0:Payload>', `<ns0:Payload>${'<n499:b/>'.repeat(2000)}`)
    const wide = (xml: string) => xml.replace(' corpus=', `${attributes(20_000)} corpus=`)
    for (const signed of [flood, wide]) {
      const before = performance.now()
      await expect(parseRim(driver({ signed }))).rejects.toMatchObject({ at: 'nvidia.rim' })
      expect(performance.now() - before).toBeLessThan(2_000)
    }
  })

  it('nor are other bytes', async () => {
    for (const text of ['', '<', '<a/>', '<SoftwareIdentity/>', '{}', '\ufffe']) {
      await expect(parseRim(new TextEncoder().encode(text))).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
      })
    }
    const latin = Uint8Array.from([...new TextEncoder().encode('<a b="'), 0xe9, 0x22, 0x2f, 0x3e])
    await expect(parseRim(latin)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })

  it('a flood of them is refused', async () => {
    const flood = Array.from({ length: 300 }, () => vbios)
    await expect(ask(...flood)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
    const many = Array.from({ length: 17 }, (_, i) =>
      driver({ unsigned: (xml) => xml.replace('tagVersion="0"', `tagVersion="${i}"`) }),
    )
    await expect(ask(...many)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })
})
