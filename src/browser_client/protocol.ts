/**
 * OAuth and OpenID Connect for a page: discovery, PKCE, the authorization request, the token endpoint, and the checks
 * of the ID token. It keeps only the discovered metadata.
 */
import { SessionError } from './error.ts';
import type { IdTokenClaims, SessionOptions } from './types.ts';

export interface TokenAnswer {
  accessToken: string;
  refreshToken: string | undefined;
  idToken: string | undefined;
  /** Milliseconds since the epoch, by this machine's clock. */
  expiresAt: number;
}

/**
 * What the answer to an authorization request must match. Kept in sessionStorage while the browser is at the
 * provider.
 */
export interface Pending {
  nonce: string;
  verifier: string;
  /** Asked without showing a page (`prompt=none`). */
  silent: boolean;
  returnTo: string;
}

interface Metadata {
  authorization_endpoint: string;
  token_endpoint: string;
  revocation_endpoint: string;
  end_session_endpoint: string;
}

/** The deadline of a request. Other tabs wait while one is in progress. */
const timeoutMs = 30_000;
const clockToleranceSeconds = 60;

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

export const randomText = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(url, {
      ...init,
      // Sends no cookies. Follows no redirect, so that nobody else can answer.
      credentials: 'omit',
      redirect: 'error',
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new SessionError('provider_unreachable', undefined, { cause: error });
  }
}

async function discover(issuer: string): Promise<Metadata> {
  const answer = await ask(`${issuer}/.well-known/openid-configuration`);
  const found = answer.ok ? await answer.json().catch(() => undefined) : undefined;
  if (!found) throw new SessionError('provider_unreachable', `discovery answered ${answer.status}`);
  if (found.issuer !== issuer) throw new SessionError('issuer_mismatch', String(found.issuer));
  return found as Metadata;
}

/**
 * The claims of an ID token that the token endpoint has just sent. It came over TLS from the issuer itself, so its
 * signature need not be verified (OpenID Connect Core, section 3.1.3.7, no. 6). Throws `id_token_invalid`.
 */
function claimsOf(
  idToken: string | undefined,
  { issuer, clientId, nonce }: { issuer: string; clientId: string; nonce: string },
): IdTokenClaims {
  try {
    const [, payload = ''] = String(idToken).split('.');
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (c) =>
      c.charCodeAt(0),
    );
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as IdTokenClaims & {
      nonce?: string;
      azp?: string;
    };
    const audiences = [claims.aud].flat();
    const fits =
      claims.iss === issuer &&
      typeof claims.sub === 'string' &&
      audiences.includes(clientId) &&
      (audiences.length === 1 || claims.azp === clientId) &&
      claims.nonce === nonce &&
      claims.exp > Date.now() / 1000 - clockToleranceSeconds;
    if (fits) return claims;
  } catch {
    // Refused below.
  }
  throw new SessionError('id_token_invalid');
}

async function tokensIn(answer: Response): Promise<TokenAnswer> {
  const json = await answer.json().catch(() => undefined);
  if (!answer.ok && typeof json?.error === 'string' && answer.status < 500 && answer.status !== 429)
    throw new SessionError('provider_refused', json.error);
  if (!answer.ok || typeof json?.access_token !== 'string')
    throw new SessionError('provider_unreachable', `the token endpoint answered ${answer.status}`);
  return {
    accessToken: json.access_token,
    refreshToken: json.refresh_token,
    idToken: json.id_token,
    expiresAt: Date.now() + Number(json.expires_in) * 1000,
  };
}

export function createProtocol({
  issuer,
  clientId,
  redirectUri,
  scope = 'openid',
  resource,
}: SessionOptions) {
  const forApi: Record<string, string> = resource === undefined ? {} : { resource };
  let metadata: Promise<Metadata> | undefined;

  function endpoints(): Promise<Metadata> {
    metadata ??= discover(issuer).catch((error: unknown) => {
      metadata = undefined;
      throw error;
    });
    return metadata;
  }

  /** The address to send the browser to, for this pending request with this state. */
  async function authorizationUrl(
    state: string,
    { nonce, verifier, silent }: Pending,
    extra: Record<string, string>,
  ): Promise<string> {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
    const url = new URL((await endpoints()).authorization_endpoint);
    url.search = new URLSearchParams({
      ...extra,
      ...forApi,
      ...(silent ? { prompt: 'none' } : {}),
      client_id: clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope,
      state,
      nonce,
      code_challenge: base64url(new Uint8Array(digest)),
      code_challenge_method: 'S256',
    }).toString();
    return url.href;
  }

  async function endSessionUrl(idToken: string | undefined, backTo: string | undefined): Promise<string> {
    const url = new URL((await endpoints()).end_session_endpoint);
    url.searchParams.set('client_id', clientId);
    if (idToken) url.searchParams.set('id_token_hint', idToken);
    if (backTo) url.searchParams.set('post_logout_redirect_uri', backTo);
    return url.href;
  }

  async function grant(form: Record<string, string>): Promise<TokenAnswer> {
    const { token_endpoint } = await endpoints();
    const body = new URLSearchParams({ ...form, ...forApi, client_id: clientId });
    return tokensIn(await ask(token_endpoint, { method: 'POST', body }));
  }

  return {
    authorizationUrl,
    endSessionUrl,
    claimsOf: (idToken: string | undefined, nonce: string) => claimsOf(idToken, { issuer, clientId, nonce }),
    exchange: (code: string, { verifier }: Pending) =>
      grant({ grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }),
    refresh: (refreshToken: string) => grant({ grant_type: 'refresh_token', refresh_token: refreshToken }),
    /**
     * Revokes a refresh token. The request outlives the page and is not waited for, because the sign-out at the
     * provider also ends the token.
     */
    async revoke(refreshToken: string): Promise<void> {
      const { revocation_endpoint } = await endpoints();
      const body = new URLSearchParams({ token: refreshToken, client_id: clientId });
      void fetch(revocation_endpoint, { method: 'POST', body, credentials: 'omit', keepalive: true }).catch(
        () => {},
      );
    },
  };
}

export type Protocol = ReturnType<typeof createProtocol>;
