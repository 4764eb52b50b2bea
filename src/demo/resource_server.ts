/**
 * A sample resource server with two endpoints, one for each way to check an access token: /notes asks the provider
 * (introspection: sees revocations at once), /reports checks by itself (v4.public: no call, good until it expires).
 * The model for an API of your own; `verifyOffline` needs nothing but the `paseto` package.
 */
import Router from '@koa/router';
import Koa from 'koa';
import * as client from 'openid-client';
import { InspectFooter, PasetoError, PublicProtocol } from 'paseto';
import { ImportPublicKeyFactory, VerifyFactory } from 'paseto/v4/public';

/** What an API reads in a token, whichever way it was checked. */
interface Access {
  sub: string;
  client_id: string;
  scope: string;
}

export interface ResourceServerOptions {
  issuer: string;
  /** Where this server answers; its audiences are its endpoints' addresses. */
  url: string;
  clientId: string;
  clientSecret: string;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Builds the server's request handler. Rejects where the provider does not answer. */
export async function createResourceServer(options: ResourceServerOptions) {
  const { issuer, url } = options;
  const introspect = await createIntrospection(options);
  const verifyOffline = createOfflineVerifier(issuer, `${url}/reports`, options.now);
  const router = new Router();
  router.get('/', (ctx) => {
    ctx.body = { endpoints: [`${url}/notes`, `${url}/reports`] };
  });
  router.get('/notes', needs('notes:read', introspect), (ctx) => {
    ctx.body = { checked: 'by introspection', for: ctx.state.access.sub, notes: ['Buy milk', 'Call Ada'] };
  });
  router.get('/reports', needs('reports:read', verifyOffline), (ctx) => {
    ctx.body = { checked: 'offline', for: ctx.state.access.sub, reports: ['Q3: all is well'] };
  });
  return new Koa().use(router.routes()).callback();
}

/** Lets a request on with a good token for this scope (RFC 6750, section 3.1). */
function needs(scope: string, check: (token: string) => Promise<Access | undefined>): Koa.Middleware {
  return async (ctx, next) => {
    const [, token] = /^Bearer ([\w.~+/-]+=*)$/i.exec(ctx.get('authorization')) ?? [];
    const access = token && (await check(token));
    const refuse = (status: number, challenge: string) => {
      ctx.status = status;
      ctx.set('WWW-Authenticate', challenge);
      ctx.body = { error: challenge };
    };
    if (!token) return refuse(401, 'Bearer');
    if (!access) return refuse(401, 'Bearer error="invalid_token"');
    if (!access.scope.split(' ').includes(scope)) return refuse(403, 'Bearer error="insufficient_scope"');
    ctx.state.access = access;
    await next();
  };
}

/** Asks the provider about each token (RFC 7662). It answers only the API that the token was made for. */
async function createIntrospection({ issuer, url, clientId, clientSecret }: ResourceServerOptions) {
  // For a demo on this machine; an issuer elsewhere has https.
  const execute = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
  const provider = await client.discovery(new URL(issuer), clientId, clientSecret, undefined, { execute });
  return async (token: string): Promise<Access | undefined> => {
    const { active, aud, sub, client_id, scope } = await client.tokenIntrospection(provider, token);
    if (!active || aud !== `${url}/notes` || !sub || !client_id) return undefined;
    return { sub, client_id, scope: scope ?? '' };
  };
}

const v4 = new PublicProtocol(ImportPublicKeyFactory, VerifyFactory);
const keysSeconds = 300;

/** Checks v4.public tokens by the provider's published keys. Resolves to undefined for what is no good token. */
export function createOfflineVerifier(issuer: string, audience: string, now: () => number) {
  let keys = new Map<string, `k4.public.${string}`>();
  let fetchedAt = Number.NEGATIVE_INFINITY;

  /** Fetched again when they are old: a key that the provider has dropped must stop working here too. */
  async function keyFor(kid: string) {
    if (now() - fetchedAt > keysSeconds * 1000) {
      const answer = await fetch(`${issuer}/.well-known/paseto-keys`);
      if (!answer.ok) throw new Error(`the provider's keys cannot be read: ${answer.status}`);
      const published = (await answer.json()) as { keys: { kid: string; key: `k4.public.${string}` }[] };
      keys = new Map(published.keys.map(({ kid, key }) => [kid, key]));
      fetchedAt = now();
    }
    const key = keys.get(kid);
    return key && v4.ImportPublicKey(key);
  }

  return async (token: string): Promise<Access | undefined> => {
    try {
      // The footer only chooses the key; that it is genuine follows from the signature.
      const key = await keyFor(JSON.parse(new TextDecoder().decode(InspectFooter(token))).kid);
      if (!key) return undefined;
      const { claims } = await v4.Verify(key, token, {
        issuer,
        audience,
        requiredClaims: ['exp', 'sub', 'client_id'],
        implicitAssertion: new TextEncoder().encode(JSON.stringify([issuer, 'public'])),
        now: new Date(now()),
      });
      if (claims.type !== 'public') return undefined;
      const { sub, client_id, scope } = claims;
      return { sub: String(sub), client_id: String(client_id), scope: String(scope ?? '') };
    } catch (error) {
      if (error instanceof PasetoError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  };
}
