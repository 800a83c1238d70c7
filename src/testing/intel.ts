/** A fake Intel: the hierarchy and quotes that the simulated TEE is made of. @packageDocumentation */
export { createSimulatedAttester } from '../drivers/attester/simulated/attester.ts'
export {
  endorseHierarchy,
  type IntelPki,
  type IntelPkiOptions,
  mintHierarchy,
  mintIntelPki,
  mintKey,
  mintKeys,
} from '../drivers/attester/simulated/pki.ts'
export {
  encodePemChain,
  mintQeCertification,
  mintTdxQuote,
  type TdxQuoteOptions,
} from '../drivers/attester/simulated/quote.ts'
export { loadSimulatedPki } from '../drivers/attester/simulated/store.ts'
