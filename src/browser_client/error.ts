/** What can go wrong, as a code for programs. */
export type SessionErrorCode =
  /**
   * The answer does not belong to a sign-in that this tab has begun: it is forged, repeated, or meant for another
   * tab.
   */
  | 'state_mismatch'
  /** The answer came from another provider (RFC 9207). */
  | 'issuer_mismatch'
  /** The ID token is not for this sign-in, or not for this app. */
  | 'id_token_invalid'
  /** The provider refused. `detail` is its error code. */
  | 'provider_refused'
  /** No answer, or one that cannot be read. It makes sense to try again later. */
  | 'provider_unreachable'
  /** Nobody is signed in here. */
  | 'signed_out';

export class SessionError extends Error {
  readonly code: SessionErrorCode;
  readonly detail: string | undefined;
  constructor(code: SessionErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? code : `${code}: ${detail}`, options);
    this.name = 'SessionError';
    this.code = code;
    this.detail = detail;
  }
}
