/**
 * Why a request was refused, as a code for programs, and how HTTP says so: status and `WWW-Authenticate` (RFC 6750,
 * section 3; RFC 9449, section 7.1; RFC 9728, section 5.1). Pure.
 */

/** All reasons. With `token_*` and `proof_*` the client is at fault, with `provider_*` and `busy` it is not. */
export type RefusalCode =
  | 'request_malformed'
  | 'token_missing'
  | 'token_malformed'
  | 'token_unknown_key'
  | 'token_forged'
  | 'token_foreign'
  | 'token_expired'
  | 'token_from_the_future'
  | 'token_inactive'
  | 'token_bound'
  | 'token_unbound'
  | 'proof_missing'
  | 'proof_malformed'
  | 'proof_forged'
  | 'proof_foreign'
  | 'proof_stale'
  | 'proof_replayed'
  | 'scope_missing'
  | 'provider_unreachable'
  | 'busy';

export interface Refusal {
  code: RefusalCode;
  status: 400 | 401 | 403 | 503;
  /** OAuth's error code. Undefined if no token was sent, or if the client is not at fault. */
  error: 'invalid_request' | 'invalid_token' | 'invalid_dpop_proof' | 'insufficient_scope' | undefined;
  /** One sentence for the developer of the client. It contains nothing of the token. */
  description: string;
  /** The headers for the answer: `WWW-Authenticate`, or `Retry-After` with a 503. */
  headers: Readonly<Record<string, string>>;
  /** The cause of a 503. For the log only. */
  cause?: unknown;
}

type Row = readonly [status: Refusal['status'], error: Refusal['error'], description: string];

const reasons: Record<RefusalCode, Row> = {
  request_malformed: [
    400,
    'invalid_request',
    'The Authorization or DPoP header is not of a form that is taken',
  ],
  token_missing: [401, undefined, 'An access token is needed'],
  token_malformed: [401, 'invalid_token', 'This is no access token of a form that is taken here'],
  token_unknown_key: [401, 'invalid_token', 'The token names a key that its issuer does not publish'],
  token_forged: [401, 'invalid_token', "The token's signature does not fit"],
  token_foreign: [
    401,
    'invalid_token',
    'The token is of another issuer, for another audience or of another type',
  ],
  token_expired: [401, 'invalid_token', 'The token has expired'],
  token_from_the_future: [401, 'invalid_token', 'The token was issued in the future'],
  token_inactive: [401, 'invalid_token', 'The token is not active'],
  token_bound: [401, 'invalid_token', 'The token is bound to a key and needs a DPoP proof'],
  token_unbound: [401, 'invalid_token', 'The token is not bound to the key of a DPoP proof'],
  proof_missing: [401, 'invalid_dpop_proof', 'A DPoP proof is needed'],
  proof_malformed: [401, 'invalid_dpop_proof', 'The DPoP proof is not of a form that is taken here'],
  proof_forged: [401, 'invalid_dpop_proof', "The DPoP proof's signature does not fit"],
  proof_foreign: [401, 'invalid_dpop_proof', 'The DPoP proof is for another request, token or key'],
  proof_stale: [401, 'invalid_dpop_proof', 'The DPoP proof was made too long ago, or in the future'],
  proof_replayed: [401, 'invalid_dpop_proof', 'The DPoP proof was used before'],
  scope_missing: [403, 'insufficient_scope', 'The token lacks a scope'],
  provider_unreachable: [503, undefined, 'The token cannot be checked now'],
  busy: [503, undefined, 'Too many requests with DPoP proofs'],
};

export interface RefusalContext {
  /** The API's name in the challenge. */
  realm: string;
  /** The scheme that the request used. Undefined if it used none. */
  scheme?: 'Bearer' | 'DPoP' | undefined;
  /** The scopes that the request needs. */
  scopes?: readonly string[];
  /** The address of the API's metadata (RFC 9728, section 5.1). */
  metadataUrl?: string | undefined;
  cause?: unknown;
}

/** The algorithms of DPoP proofs, as a challenge names them. */
export const proofAlgorithms = ['ES256', 'EdDSA', 'Ed25519'] as const;

/** The refusal for this code, complete with its headers. */
export function refusalOf(code: RefusalCode, context: RefusalContext): Refusal {
  const { realm, scheme, scopes = [], metadataUrl, cause } = context;
  const [status, error, description] = reasons[code];
  const refusal = { code, status, error, description, ...(cause === undefined ? {} : { cause }) };
  if (status === 503) return { ...refusal, headers: { 'Retry-After': '2' } };
  const told = [
    ['realm', realm.replaceAll(/["\\]/g, '')],
    ['error', error],
    ['error_description', error && description],
    ['scope', code === 'scope_missing' || code === 'token_missing' ? scopes.join(' ') : ''],
    ['resource_metadata', metadataUrl],
  ].filter(([, value]) => value);
  const challenge = (name: 'Bearer' | 'DPoP') =>
    `${name} ${[...told, ...(name === 'DPoP' ? [['algs', proofAlgorithms.join(' ')]] : [])]
      .map(([parameter, value]) => `${parameter}="${value}"`)
      .join(', ')}`;
  // Without a token the client may choose a scheme. A bound token needs DPoP (RFC 9449, section 7.1).
  const schemes =
    code === 'token_bound' || code === 'token_unbound'
      ? (['DPoP'] as const)
      : scheme
        ? [scheme]
        : (['Bearer', 'DPoP'] as const);
  return { ...refusal, headers: { 'WWW-Authenticate': schemes.map(challenge).join(', ') } };
}

/** Thrown by the checks. The verifier turns it into a Refusal, so that no check has to pass one on. */
export class Refused extends Error {
  readonly code: RefusalCode;
  constructor(code: RefusalCode, cause?: unknown) {
    super(code, { cause });
    this.code = code;
  }
}
