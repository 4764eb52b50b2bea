/**
 * Request objects by reference (OpenID Connect Core, section 6.2; RFC 9101, section 5.2). oidc-provider supports only
 * pushed ones. Here the object is fetched from an address that the client has registered, and passed on as if it had
 * come by value. No other address is fetched. For clients that the operator does not know, only the public internet
 * is reachable.
 */
import type { Context, Middleware } from 'koa';
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import { isRedirectUri } from '../../config/client_schema.ts';
import { pathOf } from '../../http/rate_limit.ts';
import { AppError } from '../../lib/errors.ts';
import type { ClientFetch } from '../library/client_fetches.ts';
import { askFor } from '../library/models/client.ts';

const mostUris = 20;
const mostBytes = 16 * 1024;

/** oidc-provider's validator of a client's `request_uris`. Throws InvalidClientMetadata. */
export function checkRequestUris(name: string, uris: unknown): void {
  if (name !== 'request_uris' || uris === undefined) return;
  const fit =
    Array.isArray(uris) &&
    uris.length <= mostUris &&
    uris.every((uri) => typeof uri === 'string' && isRequestUri(uri));
  if (!fit) throw new errors.InvalidClientMetadata('request_uris must be some https addresses');
}

/**
 * Removes the hash of an address. It only tells caches that the content has changed (section 6.2). We have no cache,
 * and the object's signature is what protects it.
 */
const withoutHash = (uri: string): string => uri.replace(/#.*$/, '');
const isRequestUri = (uri: string): boolean => /^https?:/.test(uri) && isRedirectUri(withoutHash(uri));

/**
 * Handles a failed fetch: our own refusal (429) is rethrown. For any other failure, the library refuses the request.
 */
function unlessOurs(error: unknown): undefined {
  if (error instanceof AppError) throw error;
}

/**
 * Makes the middleware that replaces `request_uri` by the fetched object. Throws AppError 429 over the rate limit.
 */
export function takeRequestUris(provider: Provider, fetch: ClientFetch): Middleware {
  /** The fetched object. Undefined if the client has not registered the address, or has nothing usable there. */
  async function fetchObject(ctx: Context, clientId: string, uri: string): Promise<string | undefined> {
    const client = await provider.Client.find(clientId);
    const registered = client?.request_uris as string[] | undefined;
    if (!client || !registered?.includes(uri)) return undefined;
    const address = withoutHash(uri);
    const headers = { accept: 'application/oauth-authz-req+jwt' };
    const answer = await askFor(client, address, () => fetch(address, { headers }, ctx));
    if (answer.status !== 200) return undefined;
    const object = (await answer.text()).trim();
    return object.length <= mostBytes ? object : undefined;
  }

  async function replaceUri(ctx: Context): Promise<void> {
    const query = new URLSearchParams(ctx.querystring);
    const [uris, clientIds] = [query.getAll('request_uri'), query.getAll('client_id')];
    const [[uri], [clientId]] = [uris, clientIds];
    if (uris.length !== 1 || clientIds.length !== 1 || !uri || !clientId || !isRequestUri(uri)) return;
    const object = await fetchObject(ctx, clientId, uri).catch(unlessOurs);
    if (object !== undefined) {
      query.delete('request_uri');
      query.append('request', object);
    } else {
      // Names a pushed request that does not exist, so that the library gives its own refusal.
      query.set('request_uri', 'urn:ietf:params:oauth:request_uri:unusable');
    }
    ctx.querystring = query.toString();
  }

  return (ctx, next) =>
    ctx.method === 'GET' && pathOf(ctx) === '/auth' ? replaceUri(ctx).then(next) : next();
}
