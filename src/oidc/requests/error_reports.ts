/**
 * Details of errors for the people who can fix them: for the operator in the log, for the app's developer in the
 * answer. The library gives little of both. Values from the request are shortened, and none of them is a secret.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';

const longest = 300;
const mostAddresses = 20;

/** A text from a request, safe to show: control and other invisible characters are replaced, and it is shortened. */
export function shown(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.replaceAll(/\p{C}/gu, '\ufffd');
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/** For the log: the values of the request that caused the error. */
export function sentWith(
  { oidc, headers }: KoaContextWithOIDC,
  error: errors.OIDCProviderError,
): Record<string, unknown> {
  const params = (oidc?.params ?? {}) as Record<string, unknown>;
  if (error instanceof errors.InvalidRedirectUri)
    return {
      sent: shown(params.redirect_uri ?? params.post_logout_redirect_uri),
      registered: (oidc?.client?.redirectUris ?? []).slice(0, mostAddresses).map(shown),
    };
  if (error.error === 'invalid_client' && !oidc?.client)
    return { sentClient: shown(params.client_id ?? basicUser(headers.authorization)) };
  if (error instanceof errors.InvalidTarget)
    return { resource: [params.resource].flat().slice(0, 5).map(shown) };
  return {};
}

/** The client id from HTTP Basic (RFC 6749, section 2.3.1), which is form-encoded inside the base64. */
function basicUser(authorization: string | undefined): string | undefined {
  const [, value] = /^basic +([\w+/=-]+)$/i.exec(authorization ?? '') ?? [];
  const [user] = Buffer.from(value ?? '', 'base64')
    .toString()
    .split(':');
  return user ? (new URLSearchParams(`user=${user}`).get('user') ?? undefined) : undefined;
}

/** The characters that `error_description` may contain (RFC 6749, section 5.2). */
const describable = /^[\x20\x21\x23-\x5B\x5D-\x7E]{1,200}$/;

/**
 * Completes the JSON of an error. It adds the id under which the log has the details, and the reason of a refused
 * grant. The library refuses a grant only after client authentication, so strangers do not learn that reason.
 */
export function completeError(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  const { body } = ctx;
  if (!ctx.response.is('json') || typeof body !== 'object' || body === null || !('error' in body)) return;
  const { error_detail: detail } = error;
  const isReason =
    error instanceof errors.InvalidGrant && typeof detail === 'string' && describable.test(detail);
  ctx.body = { ...body, ...(isReason && { error_description: detail }), id: ctx.state.requestId };
}
