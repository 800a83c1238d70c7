/**
 * Chooses from the collateral what a quote needs, and asks for the signatures on it.
 *
 * @packageDocumentation
 */
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import type { Crl } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'
import {
  type Collateral,
  crlsOf,
  inOrderOfChoice,
  missing,
  qeIdentitiesFor,
  type SignedDocument,
  stretchOf,
  tcbInfosFor,
} from './collateral.ts'
import type { PckChain } from './pck-chain.ts'
import {
  blaming,
  checkCrlSignatureOnce,
  checkIssuedOnce,
  isDocumentSignedBy,
  type Tools,
} from './signatures.ts'
import type { TcbInfoId } from './tcb-info.ts'

/** Which documents a kind of TEE needs. */
export interface TeeKind {
  /** `id` of TCB Info. */
  readonly tcbInfo: TcbInfoId
  /** `id` of QE Identity. */
  readonly qeIdentity: 'QE' | 'TD_QE'
}

/** The kinds there are; also the first word of the paths at which Intel publishes their documents. */
export const TEE_KINDS = {
  sgx: { tcbInfo: 'SGX', qeIdentity: 'QE' },
  tdx: { tcbInfo: 'TDX', qeIdentity: 'TD_QE' },
} as const satisfies Readonly<Record<string, TeeKind>>

/** The CRL of an issuer, whether its signature holds, and every other one that the issuer signed. */
export interface ChosenCrl {
  readonly crl: Crl
  readonly problem: Problem | undefined
  /** Current or not: what any of them lists is revoked. */
  readonly signed: readonly Crl[]
}

/** A signed document, its signer, and what is wrong with either. */
interface ChosenDocument {
  readonly document: SignedDocument
  readonly signer: Certificate
  readonly chain: Problem | undefined
  readonly signature: Problem | undefined
}

/** Everything a quote needs besides itself. */
export interface Endorsed {
  readonly rootCrl: ChosenCrl
  readonly pckCrl: ChosenCrl
  readonly tcbInfo: ChosenDocument
  readonly qeIdentity: ChosenDocument
}

const SIGNER_NAME = 'Intel SGX TCB Signing'
const PCS = 'https://api.trustedservices.intel.com'
const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'dcap.endorsements' } as const

/**
 * {@link chooseEndorsements}, remembered for as long as everything in the set is as valid as it is now. What
 * is remembered is a choice and its signatures: dates and revocation are looked at by the caller each time.
 *
 * @throws {@link VouchsafeError} as that does; nothing is remembered then.
 */
export async function endorse(
  { chain, kind }: { readonly chain: PckChain; readonly kind: TeeKind },
  collateral: Collateral,
  context: AuthenticationContext,
): Promise<Endorsed> {
  const stretch = stretchOf(collateral, context.now)
  const { fmspc, pceId } = chain.platform
  const key = `dcap.endorsed:${collateral.id}:${stretch}:${kind.tcbInfo}:${fmspc}:${pceId}:${chain.issuersId}`
  return context.memo.once(
    key,
    async () => chooseEndorsements({ chain, kind }, collateral, context),
    collateral.size,
  )
}

/**
 * Finds and checks the endorsements of a quote whose PCK chain ends in a pinned root. Where the set
 * has several that fit, the newest one valid at `now` is taken, so that an older TCB Info brought
 * along by the attester never hides a recovery that the set knows of; one of the same name whose
 * signature does not verify is passed over for one whose signature does.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE`, saying what is missing and where it
 *   is published; `ERR_ENDORSEMENT_MALFORMED` if one is there that cannot be read.
 */
async function chooseEndorsements(
  { chain, kind }: { readonly chain: PckChain; readonly kind: TeeKind },
  collateral: Collateral,
  context: AuthenticationContext,
): Promise<Endorsed> {
  const { fmspc, pceId } = chain.platform
  const path = `${PCS}/${kind.tcbInfo.toLowerCase()}/certification/v4`
  const tools = { memo: context.memo, crypto: blaming(context.crypto, BLAME) }
  const place: Place = { collateral, now: context.now, tools }
  const infos = tcbInfosFor(collateral, { id: kind.tcbInfo, fmspc, pceId })
  if (infos.length === 0) {
    missing(collateral, 'tcbInfos', {
      at: 'tcb_info',
      detail: `no ${kind.tcbInfo} TCB Info for FMSPC ${fmspc}, PCEID ${pceId}; Intel publishes it at ${path}/tcb?fmspc=${fmspc}`,
    })
  }
  const identities = qeIdentitiesFor(collateral, kind.qeIdentity)
  if (identities.length === 0) {
    missing(collateral, 'qeIdentities', {
      at: 'qe_identity',
      detail: `no QE Identity ${kind.qeIdentity}; Intel publishes it at ${path}/qe/identity`,
    })
  }
  const [rootCrl, pckCrl, tcbInfo, qeIdentity] = await Promise.all([
    chooseCrl(
      chain.root,
      place,
      'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
    ),
    chooseCrl(chain.intermediate, place, `${PCS}/sgx/certification/v4/pckcrl?ca=${chain.ca}`),
    chooseDocument(infos, chain.root, place),
    chooseDocument(identities, chain.root, place),
  ])
  return { rootCrl, pckCrl, tcbInfo, qeIdentity }
}

interface Place {
  readonly collateral: Collateral
  readonly now: Date
  readonly tools: Tools
}

async function chooseCrl(issuer: Certificate, place: Place, url: string): Promise<ChosenCrl> {
  const { collateral, now, tools } = place
  const candidates = inOrderOfChoice(crlsOf(collateral, issuer), now, (crl) => ({
    from: crl.thisUpdate,
    to: crl.nextUpdate,
    rank: 0,
  }))
  const tried = await Promise.all(
    candidates.map(async (crl) => ({
      crl,
      problem: await checkCrlSignatureOnce(crl, issuer, tools),
    })),
  )
  const good = tried.filter(({ problem }) => problem === undefined)
  const chosen =
    good[0] ??
    tried[0] ??
    missing(collateral, 'crls', {
      at: 'crl',
      detail: `no CRL of ${issuer.subjectName}; Intel publishes it at ${url}`,
    })
  return { ...chosen, signed: good.map(({ crl }) => crl) }
}

async function chooseDocument(
  documents: readonly SignedDocument[],
  root: Certificate,
  place: Place,
): Promise<ChosenDocument> {
  const { now, tools } = place
  const ordered = inOrderOfChoice(documents, now, (document) => ({
    from: document.issueDate,
    to: document.nextUpdate,
    rank: document.tcbEvaluationDataNumber,
  }))
  const signers = await chooseSigners(root, place)
  let best: ChosenDocument | undefined
  for (const document of ordered) {
    for (const { signer, chain } of signers) {
      const signed = await isDocumentSignedBy({ document, signer }, tools)
      const expected = `signed by ${signer.subjectName}`
      const signature = signed ? undefined : { expected, actual: 'signature does not verify' }
      const chosen = { document, signer, chain, signature }
      if (chain === undefined && signed) return chosen
      best ??= chosen
    }
  }
  return best ?? missingSigner(place)
}

/**
 * The signers that the root vouches for; one with what is wrong with it if there is none. Asked
 * before any document: else a set full of strangers' certificates would crowd out the right one.
 */
async function chooseSigners(
  root: Certificate,
  place: Place,
): Promise<readonly Pick<ChosenDocument, 'signer' | 'chain'>[]> {
  const { collateral, now, tools } = place
  const named = inOrderOfChoice(
    collateral.certificates.filter(({ subjectName }) => subjectName === SIGNER_NAME),
    now,
    ({ notBefore, notAfter }) => ({ from: notBefore, to: notAfter, rank: 0 }),
  )
  const tried = await Promise.all(
    named.map(async (signer) => ({ signer, chain: await checkSigner(signer, root, tools) })),
  )
  const good = tried.filter(({ chain }) => chain === undefined)
  return good.length > 0 ? good : tried.slice(0, 1)
}

function missingSigner({ collateral }: Place): never {
  return missing(collateral, 'certificates', {
    at: 'tcb_signing_certificate',
    detail: `no certificate of ${SIGNER_NAME}; Intel sends it in the header TCB-Info-Issuer-Chain of ${PCS}/sgx/certification/v4/tcb`,
  })
}

async function checkSigner(
  signer: Certificate,
  root: Certificate,
  tools: Tools,
): Promise<Problem | undefined> {
  if (signer.isCa) return { expected: `${signer.subjectName} is no CA`, actual: 'a CA' }
  if (signer.keyUsage?.has('digitalSignature') !== true) {
    return {
      expected: `${signer.subjectName} may sign`,
      actual: 'keyUsage lacks digitalSignature',
    }
  }
  return checkIssuedOnce({ child: signer, parent: root, below: 0 }, tools)
}
