/** The shapes of a stored session, and the outcomes of saving it. */

/**
 * oidc-provider's session payload. `jti` (the id) is removed before it is stored, and added again when it is read.
 */
export interface SessionPayload {
  jti: string;
  uid: string;
  accountId?: string;
  acr?: string;
  amr?: string[];
  loginTs?: number;
  [name: string]: unknown;
}

/** Where a session was used from, as far as the request shows. `device`: the id of a known browser. */
export interface SeenFrom {
  address?: string | undefined;
  userAgent?: string | undefined;
  device?: string | undefined;
}

/**
 * - `saved`: the session is stored under its id.
 * - `older`: a later sign-in of the same account is stored. It keeps its id, and the newly authorized apps were added
 *   to it.
 * - `refused`: the session has ended, or a later sign-in of another account is stored.
 */
export type SaveOutcome = 'saved' | 'older' | 'refused';
