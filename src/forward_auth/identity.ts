/**
 * Who somebody is, for the headers that a site receives. An answer that lets somebody in has all of these headers,
 * with an empty value if there is nothing to say. So the proxy can replace whatever the browser may have sent under
 * their names.
 */
export interface Identity {
  accountId: string;
  claims: Record<string, unknown>;
  loginTs: number;
}

/** `scopes`: what the site may learn, as in OpenID Connect Core, section 5.4. */
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
    // Only a verified address: anybody can sign up with somebody else's, and sites use it to identify people.
    'Remote-Email': claims.email_verified === true ? asHeader(String(claims.email)) : '',
    'X-Auth-Subject': accountId,
    'X-Auth-Time': String(loginTs),
  };
}

/**
 * UTF-8 with one character per byte: Node writes each character of a header as one byte, and proxies and sites pass
 * it on.
 */
const asHeader = (text: string): string =>
  Buffer.from(text.replaceAll(/\p{Cc}/gu, ''), 'utf8').toString('latin1');
