/** What an app sees of its session. */

export interface SessionOptions {
  /** The provider's origin. */
  issuer: string;
  clientId: string;
  /** The page to which the provider sends people back. It must be registered there. */
  redirectUri: string;
  /** Default `openid`. */
  scope?: string;
  /** The API that access tokens are for (RFC 8707). Without it, they are for the provider itself. */
  resource?: string;
  /** Where the provider sends people after a sign-out. It must be registered there. */
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
 * Why nobody is signed in. `none`: nobody was. `signed_out`: signed out here or in another tab. `ended`: the provider
 * has ended the session. `lost`: the tokens were lost in transit; while the provider's session lasts, `renew` brings
 * new ones.
 */
export type SignedOutReason = 'none' | 'signed_out' | 'ended' | 'lost';

export type SessionState =
  | { status: 'starting' }
  | { status: 'signed_in'; claims: IdTokenClaims }
  | { status: 'signed_out'; reason: SignedOutReason };

export interface Session {
  readonly state: SessionState;
  /**
   * Call this once, when the page has loaded. Takes the provider's answer, or finds an existing sign-in. May leave
   * the page. Rejects with SessionError.
   */
  start(): Promise<SessionState>;
  /**
   * Leaves for the provider's sign-in. `parameters`: further parameters of the request, such as `login_hint` or
   * `acr_values`.
   */
  signIn(parameters?: Record<string, string>): Promise<void>;
  /** Leaves for the provider and comes back signed in, or signed out. No page is shown. */
  renew(): Promise<void>;
  /** A valid access token. It is renewed first if it is about to expire. Throws SessionError. */
  accessToken(): Promise<string>;
  /** Signs out in every tab, then leaves for the provider's sign-out. */
  signOut(): Promise<void>;
  /** Calls `listener` at every change of state. Returns a function that stops that. */
  subscribe(listener: (state: SessionState) => void): () => void;
}
