/** What an app sees of its session. */

export interface SessionOptions {
  /** The provider's origin. */
  issuer: string;
  clientId: string;
  /** The page that the provider sends people back to; registered there. */
  redirectUri: string;
  /** Default `openid`. */
  scope?: string;
  /** The API that access tokens are for (RFC 8707); without it they are for the provider itself. */
  resource?: string;
  /** Where the provider sends people after a sign-out; registered there. */
  postLogoutRedirectUri?: string;
}

/** Claims of the ID token (OpenID Connect Core, section 2). */
export interface IdTokenClaims {
  iss: string;
  sub: string;
  aud: string | string[];
  exp: number;
  iat: number;
  [claim: string]: unknown;
}

/**
 * Why nobody is signed in: `none` nobody was; `signed_out` here or in another tab; `ended` the provider has ended the
 * session; `lost` the tokens were lost on the way, and `renew` brings new ones while the provider's session lasts.
 */
export type SignedOutReason = 'none' | 'signed_out' | 'ended' | 'lost';

export type SessionState =
  | { status: 'starting' }
  | { status: 'signed_in'; claims: IdTokenClaims }
  | { status: 'signed_out'; reason: SignedOutReason };

export interface Session {
  readonly state: SessionState;
  /** Called once when the page has loaded: takes in the provider's answer, or finds the sign-in again. May leave the page. */
  start(): Promise<SessionState>;
  /** Leaves for the provider's sign-in. `parameters`: further ones of the request, such as `login_hint` or `acr_values`. */
  signIn(parameters?: Record<string, string>): Promise<void>;
  /** Leaves for the provider and comes back signed in, or signed out: no page is shown. */
  renew(): Promise<void>;
  /** A token that is good for a while. Refreshes first where that is needed. Throws SessionError. */
  accessToken(): Promise<string>;
  /** Signs out in every tab, then leaves for the provider's sign-out. */
  signOut(): Promise<void>;
  /** Told of every change of state; returns what ends that. */
  subscribe(listener: (state: SessionState) => void): () => void;
}
