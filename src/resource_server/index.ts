/**
 * `cypher-idp/resource-server` verifies the access tokens of a Cypher provider in an API. Begin with
 * `createVerifier`. It imports nothing of the server, and no package but `paseto`.
 */
export type { Access } from './access.ts';
export {
  accessFor,
  forExpress,
  forFastify,
  forKoa,
  metadataForExpress,
  metadataForFastify,
  metadataForKoa,
} from './adapters.ts';
export type { ResourceMetadata } from './metadata.ts';
export type { Refusal, RefusalCode } from './refusal.ts';
export {
  createVerifier,
  type IncomingRequest,
  type Verdict,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts';
