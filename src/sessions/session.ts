/** What is stored of a session, and what comes of saving it. */

/** oidc-provider's session payload; `jti` (the id) is kept out of storage and put back when read. */
export interface SessionPayload {
  jti: string;
  uid: string;
  accountId?: string;
  acr?: string;
  amr?: string[];
  loginTs?: number;
  [name: string]: unknown;
}

/** Where a session was used from, as far as the request says. */
export interface SeenFrom {
  address?: string | undefined;
  userAgent?: string | undefined;
  device?: string | undefined;
}

/**
 * - `saved`: the session is stored under its id.
 * - `older`: a later sign-in of the same account is stored. It keeps its id, and the apps that were authorized were added.
 * - `refused`: the session has ended, or a later sign-in of another account is stored.
 */
export type SaveOutcome = 'saved' | 'older' | 'refused';
