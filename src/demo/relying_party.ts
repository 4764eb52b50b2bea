/**
 * A sample relying party on openid-client: sign-in (code flow, PKCE, state, nonce), refresh, calls to APIs, sign-out. Its
 * sessions are in memory, behind a random HttpOnly cookie. Built by main.ts and by the browser tests.
 */
import { randomBytes } from 'node:crypto';
import Router from '@koa/router';
import Koa from 'koa';
import * as client from 'openid-client';
import { button, type Html, html, page, stylesheet, table } from './page.ts';

/** Something to call with an access token; `resource` names it where it takes tokens of its own (RFC 8707). */
export interface Api {
  url: string;
  resource?: string;
}

export interface RelyingPartyOptions {
  title: string;
  issuer: string;
  /** Where this app answers; /callback and / of it are registered at the provider. */
  url: string;
  clientId: string;
  clientSecret: string;
  scope: string;
  apis: Api[];
}

interface Session {
  /** What the answer to a sign-in under way must fit. */
  pending?: { state: string; nonce: string; codeVerifier: string };
  signedIn?: { idToken: string; claims: client.IDToken; refreshToken: string | undefined };
  /** Access tokens by the resource they are for; '' for none in particular. */
  access: Map<string, string>;
  problem?: string;
  answers: { url: string; answer: Record<string, unknown> }[];
  note?: string;
}

/** Builds the app's request handler. Rejects where the provider does not answer. */
export async function createRelyingParty(options: RelyingPartyOptions) {
  const { issuer, url, clientId, clientSecret, apis } = options;
  const redirectUri = `${url}/callback`;
  // For a demo on this machine; an issuer elsewhere has https.
  const execute = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
  const provider = await client.discovery(new URL(issuer), clientId, clientSecret, undefined, { execute });
  const sessions = new Map<string, Session>();
  // Browsers share cookies among the ports of a host, so the name tells the apps of one machine apart.
  const cookie = `${clientId}_session`;
  const router = new Router<{ session: Session }>();

  function keep(session: Session, tokens: client.TokenEndpointResponse, resource: string | undefined): void {
    session.access.set(resource ?? '', tokens.access_token);
    if (session.signedIn) session.signedIn.refreshToken = tokens.refresh_token;
  }

  /** Every refresh token works once: the answer brings the next one. */
  async function refresh(session: Session, resource: string | undefined): Promise<void> {
    const token = session.signedIn?.refreshToken;
    if (!token) throw new Error('there is no refresh token: sign in first');
    keep(session, await client.refreshTokenGrant(provider, token, resource ? { resource } : {}), resource);
  }

  router.get('/login', async (ctx) => {
    const codeVerifier = client.randomPKCECodeVerifier();
    const pending = { state: client.randomState(), nonce: client.randomNonce(), codeVerifier };
    ctx.state.session.pending = pending;
    const parameters = new URLSearchParams({
      redirect_uri: redirectUri,
      scope: options.scope,
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
    });
    for (const { resource } of apis) if (resource) parameters.append('resource', resource);
    ctx.redirect(client.buildAuthorizationUrl(provider, parameters).href);
  });

  router.get('/callback', async (ctx) => {
    const { pending } = ctx.state.session;
    const session = begin(ctx);
    ctx.redirect('/');
    if (!pending) throw new Error('this sign-in was not begun here');
    const resource = apis[0]?.resource;
    const tokens = await client.authorizationCodeGrant(
      provider,
      new URL(ctx.url, url),
      { expectedState: pending.state, expectedNonce: pending.nonce, pkceCodeVerifier: pending.codeVerifier },
      resource ? { resource } : {},
    );
    // The library has checked the ID token: signature, issuer, audience, time, nonce.
    const claims = tokens.claims();
    if (!claims || !tokens.id_token) throw new Error('the provider sent no ID token');
    session.signedIn = { idToken: tokens.id_token, claims, refreshToken: undefined };
    keep(session, tokens, resource);
  });

  router.post('/call', async (ctx) => {
    const { session } = ctx.state;
    session.answers = [];
    for (const { url, resource } of apis) {
      if (!session.access.has(resource ?? '')) await refresh(session, resource);
      const authorization = `Bearer ${session.access.get(resource ?? '')}`;
      const response = await fetch(url, { headers: { authorization } });
      session.answers.push({ url, answer: (await response.json()) as Record<string, unknown> });
    }
  });

  router.post('/refresh', async (ctx) => {
    const { session } = ctx.state;
    session.access.clear();
    await refresh(session, apis[0]?.resource);
    session.note = `New tokens came at ${new Date().toISOString().slice(11, 19)} UTC.`;
  });

  router.post('/logout', (ctx) => {
    const { signedIn } = ctx.state.session;
    begin(ctx);
    ctx.redirect(
      client.buildEndSessionUrl(provider, {
        ...(signedIn ? { id_token_hint: signedIn.idToken } : {}),
        post_logout_redirect_uri: `${url}/`,
      }).href,
    );
  });

  router.get('/', (ctx) => {
    ctx.type = 'html';
    ctx.body = page(options.title, content(ctx.state.session));
  });

  router.get('/style.css', (ctx) => {
    ctx.type = 'css';
    ctx.body = stylesheet;
  });

  function content({ signedIn, problem, answers, note }: Session): Html {
    const complaint = problem ? html`<p class="problem" role="alert">${problem}</p>` : undefined;
    if (!signedIn) {
      return html`<p>You are not signed in here.</p>${complaint}
<div class="buttons">${button('Sign in', '/login', 'get')}</div>`;
    }
    const replies = answers.map(({ url, answer }) => html`<h2>${url} answered</h2>${table(answer)}`);
    return html`<p>You are signed in.</p>${complaint}
<div class="buttons">${button('Call the API', '/call')}${button('Refresh', '/refresh')}${button('Sign out', '/logout')}</div>
${note ? html`<p role="status">${note}</p>` : undefined}${replies}
<h2>What the ID token says</h2>${table(signedIn.claims)}`;
  }

  /** A new session under a new id, so that what was planted before a sign-in is worth nothing after it. */
  function begin(ctx: Koa.Context): Session {
    sessions.delete(ctx.cookies.get(cookie) ?? '');
    const id = randomBytes(24).toString('base64url');
    const session: Session = { access: new Map(), answers: [] };
    sessions.set(id, session);
    ctx.cookies.set(cookie, id, { httpOnly: true, sameSite: 'lax', secure: url.startsWith('https:') });
    ctx.state.session = session;
    return session;
  }

  const app = new Koa();
  app.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    // The forms end at the provider: its origin must be named, for browsers hold redirects to form-action too.
    ctx.set(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'self'; img-src data:; form-action 'self' ${issuer}; base-uri 'none'; frame-ancestors 'none'`,
    );
    ctx.state.session = sessions.get(ctx.cookies.get(cookie) ?? '') ?? begin(ctx);
    try {
      if (ctx.method === 'POST') ctx.redirect('/');
      await next();
      if (ctx.method === 'POST' || ctx.path === '/callback') delete ctx.state.session.problem;
    } catch (error) {
      ctx.state.session.problem = explain(error);
    }
  });
  app.use(router.routes());
  return app.callback();
}
