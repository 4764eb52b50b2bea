/**
 * The headers by which a site learns who somebody is. Every one is in every answer that lets somebody in, empty where
 * there is nothing to say: a proxy then has a value for each to put in place of what the browser may have sent.
 */
export interface Identity {
  accountId: string;
  claims: Record<string, unknown>;
  loginTs: number;
}

/** `scopes`: what the site may know, as in OpenID Connect Core, section 5.4. */
export function identityHeaders(
  { accountId, claims: known, loginTs }: Identity,
  scopes: readonly ('profile' | 'email')[],
): Record<string, string> {
  const { email, email_verified, ...profile } = known;
  const claims: Record<string, unknown> = {
    ...(scopes.includes('profile') ? profile : {}),
    ...(scopes.includes('email') ? { email, email_verified } : {}),
  };
  const username = asHeader(String(claims.preferred_username ?? ''));
  return {
    'Remote-User': username,
    'Remote-Name': typeof claims.name === 'string' ? asHeader(claims.name) : username,
    // Anybody can sign up with anybody's address, and sites take it for who somebody is.
    'Remote-Email': claims.email_verified === true ? asHeader(String(claims.email)) : '',
    'X-Auth-Subject': accountId,
    'X-Auth-Time': String(loginTs),
  };
}

/** UTF-8, a byte a character, as proxies and sites pass it on; Node writes a header's characters as single bytes. */
const asHeader = (text: string): string =>
  Buffer.from(text.replaceAll(/\p{Cc}/gu, ''), 'utf8').toString('latin1');
