/** What was checked, as a page for people. @packageDocumentation */
import type { ReceiptOutcome, VerificationReport } from '../client/index.ts'

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd;
vertical-align:top;overflow-wrap:anywhere}.pass{color:#176617}.fail{color:#b00020;font-weight:600}
.waived,.warn{color:#7a5b00}code{font-size:.9em}.banner{background:#fff3cd;padding:.6rem 1rem}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}td,th{border-color:#333}
.pass{color:#7fd17f}.fail{color:#ff7b8a}.waived,.warn{color:#e0c063}.banner{background:#3a3000}}`

/** The page of `/verification`. Everything in it is escaped: much of it came from the network. */
export function verificationPage(
  verifications: readonly VerificationReport[],
  receipts: readonly ReceiptOutcome[],
): string {
  const body =
    verifications.length === 0
      ? '<p>Nothing verified yet: the first request to a model verifies its enclave.</p>'
      : verifications.map(section).join('')
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>vouchsafe: verification</title>
<meta name="viewport" content="width=device-width"><style>${STYLE}</style>
<h1>What was checked</h1>${body}${receiptList(receipts)}</html>`
}

function section(report: VerificationReport): string {
  const verdict = report.verified ? 'verified' : 'refused'
  const simulated = report.simulated
    ? '<p class="banner">Simulated TEE: this proves nothing about hardware.</p>'
    : ''
  const rows = report.checks
    .map(
      ({ id, outcome, expected, actual }) =>
        `<tr><td class="${escape(outcome)}">${escape(outcome)}</td><td><code>${escape(id)}</code></td>` +
        `<td>${escape(expected)}</td><td>${escape(actual)}</td></tr>`,
    )
    .join('')
  return `<h2>${escape(report.model)}: ${verdict}</h2>${simulated}
<p>${escape(report.format)} evidence under policy <code>${escape(report.policyId)}</code>, at
${escape(report.at)}, keyset <code>${escape(report.keysetDigest)}</code></p>
<table><tr><th>outcome</th><th>check</th><th>expected</th><th>actual</th></tr>${rows}</table>`
}

function receiptList(receipts: readonly ReceiptOutcome[]): string {
  if (receipts.length === 0) return ''
  const items = receipts.map((outcome) => {
    const detail = outcome.verified
      ? `${outcome.receipt.model.id}, ${outcome.receipt.outcome}`
      : outcome.error.message
    const mark = outcome.verified ? 'pass' : 'fail'
    return `<li class="${mark}"><code>${escape(outcome.id)}</code> ${escape(detail)}</li>`
  })
  return `<h2>Receipts</h2><ul>${items.join('')}</ul>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? '')
}
