/**
 * What those who can mend an error learn of it: the operator in the log, the app's developer in the answer. The library keeps
 * both short. Values that came with the request are cut to a length, and nothing here is a secret.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';

const longest = 300;
const mostAddresses = 20;

/** Without control characters and other invisible ones, and not longer than a line or three. */
export function shown(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.replaceAll(/\p{C}/gu, '\ufffd');
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/** For the log: the values of the request that the error is about. */
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

/** The name of HTTP Basic (RFC 6749, section 2.3.1): form-encoded before it is base64. */
function basicUser(authorization: string | undefined): string | undefined {
  const [, value] = /^basic +([\w+/=-]+)$/i.exec(authorization ?? '') ?? [];
  const [user] = Buffer.from(value ?? '', 'base64')
    .toString()
    .split(':');
  return user ? (new URLSearchParams(`user=${user}`).get('user') ?? undefined) : undefined;
}

/** What RFC 6749, section 5.2, lets a description hold. */
const describable = /^[\x20\x21\x23-\x5B\x5D-\x7E]{1,200}$/;

/**
 * Completes the JSON of an error, as the library emits it: the reason of a refused grant, which only a client that has proved
 * who it is learns, and the id under which the log has the rest.
 */
export function completeError(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  const { body } = ctx;
  if (!ctx.response.is('json') || typeof body !== 'object' || body === null || !('error' in body)) return;
  const { error_detail: detail } = error;
  const isReason =
    error instanceof errors.InvalidGrant && typeof detail === 'string' && describable.test(detail);
  ctx.body = { ...body, ...(isReason && { error_description: detail }), id: ctx.state.requestId };
}
