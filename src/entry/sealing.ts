/** `vouchsafe/sealing`: sealed requests and answers, keysets, hints and receipts. @packageDocumentation */
export { encodeHints, type Hints, parseHints } from '../core/sealing/hints.ts'
export {
  type ChosenConfig,
  encodeKeyConfigs,
  type KeyConfig,
  keyConfigOf,
  parseKeyConfigs,
} from '../core/sealing/key-config.ts'
export { chooseKey, type Keyset, keysetDigest, parseKeyset } from '../core/sealing/keyset.ts'
export { openRequest } from '../core/sealing/open-request.ts'
export { PROBLEM_TYPES } from '../core/sealing/problem-types.ts'
export {
  authenticateReceipt,
  checkReceipt,
  parseReceipt,
  type Receipt,
} from '../core/sealing/receipt.ts'
export { ReplayCache } from '../core/sealing/replay-cache.ts'
export { importRecipient, type SealedRequest, sealRequest } from '../core/sealing/seal-request.ts'
export {
  parseStatement,
  reportData,
  type Statement,
  statementText,
} from '../core/sealing/statement.ts'
