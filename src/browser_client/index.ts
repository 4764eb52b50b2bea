/**
 * `cypher-idp/browser` signs people in from a page that has no server of its own. Begin with `createSession`. No
 * dependencies.
 */
export { SessionError, type SessionErrorCode } from './error.ts';
export { createSession } from './session.ts';
export type { IdTokenClaims, Session, SessionOptions, SessionState, SignedOutReason } from './types.ts';
