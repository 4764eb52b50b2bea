/**
 * What an app's `id_token_hint` is worth at a sign-out (OpenID Connect RP-Initiated Logout 1.0). One of this browser's own session
 * signs out without a question. One that cannot be verified any more, because its key or its app is gone, is worth no more
 * than none: the person is asked. A forged one is refused.
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

/** Throws where it is no JWT. */
function decode(hint: string): Hint {
  const [header, payload] = hint
    .split('.', 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return { header, payload };
}

/** Takes hints that nobody can verify any more out of requests. `keys`: what ID tokens are verified with now. */
export function dropOldHints(provider: Provider, keys: () => readonly JWK[]): Middleware {
  const validate = jwtValidator(provider);

  async function isOld(hint: string): Promise<boolean> {
    const { header, payload } = decode(hint);
    if (header.alg === 'none' || typeof payload.aud !== 'string') return false;
    const client = await provider.Client.find(payload.aud);
    if (!client || client.idTokenSignedResponseAlg !== header.alg) return true;
    // One that is signed with the app's secret does not say with which.
    if (header.alg?.startsWith('HS'))
      return validate(hint, client).then(
        () => false,
        () => true,
      );
    return !keys().some(({ kid }) => kid === header.kid);
  }

  return async (ctx, next) => {
    if (ctx.method === 'GET' && pathOf(ctx) === '/session/end') {
      const query = new URLSearchParams(ctx.querystring);
      const [hint, ...others] = query.getAll('id_token_hint');
      // What is no ID token at all, or is given twice, is left for the library to refuse.
      if (hint !== undefined && others.length === 0 && (await isOld(hint).catch(() => false))) {
        query.delete('id_token_hint');
        ctx.querystring = query.toString();
      }
    }
    await next();
  };
}

/** Goes around the post by which a person confirms a sign-out, which the library answers with a redirect to the app. */
export const moveOnAfterSignOut =
  (moveOn: (ctx: Context, to: { location: string; target: string }) => void): Middleware =>
  async (ctx, next) => {
    // Whoever comes back to the address of the question's answer is asked.
    if (ctx.method === 'GET' && ctx.path === '/session/end/confirm') {
      ctx.redirect('/session/end');
      ctx.status = 303;
      return;
    }
    await next();
    if (ctx.method !== 'POST' || pathOf(ctx) !== '/session/end/confirm' || ctx.status !== 303) return;
    const location = ctx.response.get('Location');
    moveOn(ctx, { location, target: location });
  };

/**
 * Whether the hint is of the session in this browser: of its person, at an app that it is signed in to. An ID token names the
 * session to apps that hear of sign-outs; then it must be that one (section 2).
 */
function isOfSession({ oidc }: KoaContextWithOIDC, pairwise: Pairwise): boolean {
  const { client, session } = oidc;
  const hint = oidc.entities.IdTokenHint?.payload;
  const known = client && session?.authorizations?.[client.clientId];
  if (!hint || !known || session?.accountId === undefined) return false;
  const subject = isPairwise(client) ? pairwise(session.accountId, client) : session.accountId;
  return hint.sub === subject && (hint.sid === undefined || hint.sid === known.sid);
}

/** Signs out at once where the hint is of this session. False where the person has to be asked. */
export async function signOutByHint(ctx: KoaContextWithOIDC, pairwise: Pairwise): Promise<boolean> {
  if (!isOfSession(ctx, pairwise)) return false;
  await endSession(ctx);
  return true;
}
