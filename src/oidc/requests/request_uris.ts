/**
 * Signed requests by reference (OpenID Connect Core, section 6.2; RFC 9101, section 5.2), of which oidc-provider knows pushed
 * ones alone: the object is fetched from where the app has registered it, and taken as if it had come by value. No other
 * address is asked, and outgoing.ts keeps strangers' addresses to the public internet.
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

/** oidc-provider's validator of `request_uris`. Throws InvalidClientMetadata. */
export function checkRequestUris(name: string, uris: unknown): void {
  if (name !== 'request_uris' || uris === undefined) return;
  const fit =
    Array.isArray(uris) &&
    uris.length <= mostUris &&
    uris.every((uri) => typeof uri === 'string' && isRequestUri(uri));
  if (!fit) throw new errors.InvalidClientMetadata('request_uris must be some https addresses');
}

/** A hash in the address tells caches of changes (section 6.2). There is none here, and the app's signature is what counts. */
const withoutHash = (uri: string): string => uri.replace(/#.*$/, '');
const isRequestUri = (uri: string): boolean => /^https?:/.test(uri) && isRedirectUri(withoutHash(uri));

/** What could not be had is refused by the library. A refusal of ours (429) is answered as it is. */
function unlessOurs(error: unknown): undefined {
  if (error instanceof AppError) throw error;
}

export function takeRequestUris(provider: Provider, fetch: ClientFetch): Middleware {
  /** The object; undefined where the address is not this client's, or there is nothing to be had. */
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

  return async (ctx, next) => {
    if (ctx.method === 'GET' && pathOf(ctx) === '/auth') {
      const query = new URLSearchParams(ctx.querystring);
      const [uris, clientIds] = [query.getAll('request_uri'), query.getAll('client_id')];
      const [[uri], [clientId]] = [uris, clientIds];
      if (uris.length === 1 && clientIds.length === 1 && uri && clientId && isRequestUri(uri)) {
        const object = await fetchObject(ctx, clientId, uri).catch(unlessOurs);
        if (object !== undefined) {
          query.delete('request_uri');
          query.append('request', object);
        } else {
          // The library's own refusal, of a pushed request that there is not.
          query.set('request_uri', 'urn:ietf:params:oauth:request_uri:unusable');
        }
        ctx.querystring = query.toString();
      }
    }
    await next();
  };
}
