/**
 * How `id_token_hint` is treated at a sign-out (OpenID Connect RP-Initiated Logout 1.0). A hint that belongs to the
 * session of this browser signs out without a question. A hint that cannot be verified any more, because its key or
 * its client is gone, is ignored: the person is asked. A forged hint is refused.
 */
import type { Context, Middleware } from 'koa';
import type Provider from 'oidc-provider';
import type { JWK, KoaContextWithOIDC } from 'oidc-provider';
import { pathOf } from '../../http/rate_limit.ts';
import { isPairwise, type Pairwise } from '../clients/pairwise.ts';
import { jwtValidator } from '../library/models/id_token.ts';
import { endSession } from '../library/routes/end_session.ts';

interface Hint {
  header: { alg?: string; kid?: unknown };
  payload: { aud?: unknown };
}

/** Decodes a JWT without verifying it. Throws if it is not a JWT. */
function decode(hint: string): Hint {
  const [header, payload] = hint
    .split('.', 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return { header, payload };
}

/** Removes hints from requests that cannot be verified any more. `keys`: the keys that verify ID tokens now. */
export function dropOldHints(provider: Provider, keys: () => readonly JWK[]): Middleware {
  const validate = jwtValidator(provider);

  async function isOld(hint: string): Promise<boolean> {
    const { header, payload } = decode(hint);
    if (header.alg === 'none' || typeof payload.aud !== 'string') return false;
    const client = await provider.Client.find(payload.aud);
    if (!client || client.idTokenSignedResponseAlg !== header.alg) return true;
    // A hint signed with the client's secret has no `kid`, so it must be verified to know whether the secret is
    // current.
    if (header.alg?.startsWith('HS'))
      return validate(hint, client).then(
        () => false,
        () => true,
      );
    return !keys().some(({ kid }) => kid === header.kid);
  }

  async function dropOld(ctx: Context): Promise<void> {
    const query = new URLSearchParams(ctx.querystring);
    const [hint, ...others] = query.getAll('id_token_hint');
    // If it is not an ID token, or is given twice, the library refuses the request.
    if (hint === undefined || others.length > 0 || !(await isOld(hint).catch(() => false))) return;
    query.delete('id_token_hint');
    ctx.querystring = query.toString();
  }

  return (ctx, next) =>
    ctx.method === 'GET' && pathOf(ctx) === '/session/end' ? dropOld(ctx).then(next) : next();
}

/**
 * Encloses the POST by which a person confirms a sign-out. The library answers it with a redirect to the app.
 * `moveOn` turns that into an answer that browsers allow after a form.
 */
export const moveOnAfterSignOut =
  (moveOn: (ctx: Context, to: { location: string; target: string }) => void): Middleware =>
  (ctx, next) => {
    if (pathOf(ctx) !== '/session/end/confirm') return next();
    if (ctx.method === 'POST')
      return next().then(() => {
        const location = ctx.response.get('Location');
        if (ctx.status === 303) moveOn(ctx, { location, target: location });
      });
    if (ctx.method !== 'GET') return next();
    // A browser that returns to this address by GET gets the question again.
    ctx.redirect('/session/end');
    ctx.status = 303;
    return undefined;
  };

/**
 * Whether the hint belongs to the session of this browser: it names the session's person, and the session has
 * authorized the hint's client. If the hint has `sid`, that must match too (section 2).
 */
function isOfSession({ oidc }: KoaContextWithOIDC, pairwise: Pairwise): boolean {
  const { client, session } = oidc;
  const hint = oidc.entities.IdTokenHint?.payload;
  const known = client && session?.authorizations?.[client.clientId];
  if (!hint || !known || session?.accountId === undefined) return false;
  const subject = isPairwise(client) ? pairwise(session.accountId, client) : session.accountId;
  return hint.sub === subject && (hint.sid === undefined || hint.sid === known.sid);
}

/** Signs out immediately if the hint belongs to this session. False if the person must be asked. */
export async function signOutByHint(ctx: KoaContextWithOIDC, pairwise: Pairwise): Promise<boolean> {
  if (!isOfSession(ctx, pairwise)) return false;
  await endSession(ctx);
  return true;
}
