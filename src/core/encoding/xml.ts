/**
 * The one door to XML: documents that carry an enveloped signature, as a tree and in canonical form.
 *
 * libxml2, as WebAssembly without files and without a network, parses and canonicalises. In front of
 * it stands a gate: no document type, and so no entities; no comments, CDATA sections or processing
 * instructions, which canonical forms drop or fold away, so that a signed text could read
 * differently from the one that was signed. It is loaded when the first document is, since it is a
 * megabyte that few need.
 *
 * @packageDocumentation
 * @see Canonical XML 1.1, https://www.w3.org/TR/xml-c14n11/
 */
import type * as LibXml from 'libxml2-wasm'
import { utf8 } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

export interface XmlAttribute {
  /** `''` for none, which is what attributes without a prefix have. */
  readonly namespace: string
  readonly name: string
  readonly value: string
}

/** An element without anything of the library in it. */
export interface XmlElement {
  readonly namespace: string
  readonly name: string
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly XmlElement[]
  /** All character data directly inside, joined. */
  readonly text: string
}

/** An element name with its namespace. */
export interface XmlName {
  readonly namespace: string
  readonly name: string
}

/** A document taken apart: the enveloped element, and the document as if that were not there. */
export interface EnvelopedXml {
  readonly enveloped: XmlElement
  /** Canonical form of the named part of the enveloped element, in its place in the document. */
  readonly partBytes: Uint8Array
  readonly rest: XmlElement
  /** Canonical form of the rest. `rest` is read from the very tree that this is written from. */
  readonly restBytes: Uint8Array
}

/** RIMs take 20 to 30 kB. */
const MAX_BYTES = 512 * 1024
/** Elements; a RIM has 64 resources and about twenty others, and indices end at 254. */
const MAX_ELEMENTS = 512
const MAX_DEPTH = 16
/** Declarations in a whole document; RIMs have six. */
const MAX_NAMESPACES = 32
/** Of one element; a resource of a RIM may list 64 values. */
const MAX_ATTRIBUTES = 96
const DECLARATION =
  /^<\?xml version="1\.0"(?: encoding="(?:UTF-8|utf-8)")?(?: standalone="(?:yes|no)")?\s*\?>/

let loading: Promise<typeof LibXml> | undefined

/**
 * Takes the one `enveloped` child of the root out of a document.
 *
 * @param names - The enveloped element, and the part of it whose canonical form is wanted; of each
 *   there must be exactly one, the first as a child of the root, the second as a child of that.
 * @throws {@link VouchsafeError} with the code of `blame` for anything but well-formed UTF-8 of at
 *   most 512 KiB that passes the gate and has both; `ERR_DEPENDENCY_MISSING` if the library cannot be
 *   loaded.
 */
export async function readEnvelopedXml(
  bytes: Uint8Array,
  names: { readonly enveloped: XmlName; readonly part: XmlName },
  blame: Blame,
): Promise<EnvelopedXml> {
  const text = gate(bytes, blame)
  const xml = await load()
  const document = parse(text, xml, blame)
  try {
    return takeApart(document, { xml, names, blame })
  } finally {
    document.dispose()
  }
}

/** Attribute by name; `undefined` if the element has none. */
export function attributeOf(element: XmlElement, name: string, namespace = ''): string | undefined {
  return element.attributes.find((one) => one.name === name && one.namespace === namespace)?.value
}

interface Opening {
  readonly xml: typeof LibXml
  readonly names: { readonly enveloped: XmlName; readonly part: XmlName }
  readonly blame: Blame
}

/** A page whose bundle left the library out has nothing to load it from. */
async function load(): Promise<typeof LibXml> {
  loading ??= import('libxml2-wasm')
  try {
    return await loading
  } catch (cause) {
    loading = undefined
    throw new VouchsafeError(
      { code: 'ERR_DEPENDENCY_MISSING', at: 'xml.libxml2-wasm' },
      'reading NVIDIA’s manifests needs libxml2-wasm; install it, and let pages load it as a module of its own',
      { cause },
    )
  }
}

/**
 * What reaches the parser: text with elements, attributes and character data, and nothing else.
 * Canonical form takes a time in elements times namespaces: half a minute for 50 kB of them.
 */
function gate(bytes: Uint8Array, blame: Blame): string {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(blame, `over ${MAX_BYTES} bytes of XML`)
  const text = decodeUtf8(bytes, blame)
  const body = text.replace(DECLARATION, '')
  if (/<[!?]/.test(body)) {
    throw new VouchsafeError(
      blame,
      'a document type, comment, CDATA section or processing instruction',
    )
  }
  if (body.split(/xmlns\s*[:=]/, MAX_NAMESPACES + 2).length > MAX_NAMESPACES + 1) {
    throw new VouchsafeError(blame, `more than ${MAX_NAMESPACES} declarations of namespaces`)
  }
  return text
}

function parse(text: string, xml: typeof LibXml, blame: Blame): LibXml.XmlDocument {
  const { XML_PARSE_NONET, XML_PARSE_NO_XXE, XML_PARSE_NOERROR } = xml.ParseOption
  try {
    return xml.XmlDocument.fromString(text, {
      option: XML_PARSE_NONET | XML_PARSE_NO_XXE | XML_PARSE_NOERROR,
    })
  } catch (cause) {
    // The library has no other errors than that the document is none.
    throw new VouchsafeError(blame, 'not well-formed XML', { cause })
  }
}

function takeApart(document: LibXml.XmlDocument, { xml, names, blame }: Opening): EnvelopedXml {
  const { root } = document
  // All of it, before any of it is canonicalised: only what is small may be.
  copy(root, { xml, blame, budget: { left: MAX_ELEMENTS }, depth: 0 })
  const envelope = onlyChild(root, names.enveloped, { xml, blame })
  const part = onlyChild(envelope, names.part, { xml, blame })
  const mode = xml.XmlC14NMode.XML_C14N_1_1
  const budget = { left: MAX_ELEMENTS }
  const enveloped = copy(envelope, { xml, blame, budget, depth: 1 })
  const canonical = (of: { canonicalizeToString(o: { mode: typeof mode }): string }) =>
    canonicalForm(() => of.canonicalizeToString({ mode }), blame)
  const partBytes = canonical(part)
  envelope.remove()
  const rest = copy(root, { xml, blame, budget, depth: 0 })
  return { enveloped, partBytes, rest, restBytes: canonical(document) }
}

function onlyChild(
  parent: LibXml.XmlElement,
  { namespace, name }: XmlName,
  { xml, blame }: Pick<Opening, 'xml' | 'blame'>,
): LibXml.XmlElement {
  const found = elementsOf(parent, xml).filter(
    (child) => child.name === name && child.namespaceUri === namespace,
  )
  const [only] = found
  if (only === undefined || found.length > 1) {
    throw new VouchsafeError(blame, `${found.length} elements ${name}, want one`)
  }
  return only
}

function elementsOf(parent: LibXml.XmlElement, xml: typeof LibXml): LibXml.XmlElement[] {
  const elements: LibXml.XmlElement[] = []
  for (let node = parent.firstChild; node !== null; node = node.next) {
    if (node instanceof xml.XmlElement) elements.push(node)
  }
  return elements
}

interface Copying extends Pick<Opening, 'xml' | 'blame'> {
  readonly budget: { left: number }
  readonly depth: number
}

function copy(element: LibXml.XmlElement, copying: Copying): XmlElement {
  const { xml, blame, budget, depth } = copying
  if (depth > MAX_DEPTH || --budget.left < 0) throw new VouchsafeError(blame, 'too many elements')
  const children: XmlElement[] = []
  let text = ''
  for (let node = element.firstChild; node !== null; node = node.next) {
    if (node instanceof xml.XmlElement) children.push(copy(node, { ...copying, depth: depth + 1 }))
    else if (node instanceof xml.XmlText) text += node.content
    // The gate lets no such thing in; one that got past it is no text that was signed as it reads.
    else throw new VouchsafeError(blame, 'neither an element nor text')
  }
  const { attrs } = element
  if (attrs.length > MAX_ATTRIBUTES) throw new VouchsafeError(blame, 'too many attributes')
  const attributes = attrs.map(({ namespaceUri, name, value }) => ({
    namespace: namespaceUri,
    name,
    value,
  }))
  return { namespace: element.namespaceUri, name: element.name, attributes, children, text }
}

/** Some documents have no canonical form: one of a relative namespace, or of broken references. */
function canonicalForm(canonicalize: () => string, blame: Blame): Uint8Array<ArrayBuffer> {
  try {
    return utf8(canonicalize())
  } catch (cause) {
    throw new VouchsafeError(blame, 'XML without a canonical form', { cause })
  }
}
