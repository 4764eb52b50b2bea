/**
 * A sample relying party on openid-client: sign-in (code flow, PKCE, state, nonce), refresh, calls to APIs, sign-out, and
 * back-channel logout.
 */
import { text } from 'node:stream/consumers';
import Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import * as client from 'openid-client';
import { createLogoutTokens } from './logout_tokens.ts';
import { button, type Html, html, page, stylesheet, table } from './page.ts';
import { createSessions, type Session } from './sessions.ts';

export interface RelyingPartyOptions {
  title: string;
  issuer: string;
  /** The address of this app. Its /callback and / are registered at the provider. */
  url: string;
  clientId: string;
  clientSecret: string;
  scope: string;
  /** The APIs to call with an access token. `resource` is for an API that accepts tokens of its own (RFC 8707). */
  apis: { url: string; resource?: string }[];
}

interface Party {
  provider: client.Configuration;
  sessions: ReturnType<typeof createSessions>;
  url: string;
  scope: string;
  apis: RelyingPartyOptions['apis'];
}

/** Builds the app's request handler. Rejects if the provider does not answer. */
export async function createRelyingParty({ title, issuer, url, apis, ...options }: RelyingPartyOptions) {
  const { clientId, clientSecret, scope } = options;
  // Only for a demo on this machine. Any other issuer has https.
  const execute = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
  const provider = await client.discovery(new URL(issuer), clientId, clientSecret, undefined, { execute });
  // Browsers share cookies among the ports of a host, so the name distinguishes the apps of one machine.
  const sessions = createSessions(`${clientId}_session`, url.startsWith('https:'));
  const logoutTokens = createLogoutTokens(issuer, clientId, provider.serverMetadata().jwks_uri ?? '');
  const party: Party = { provider, sessions, url, scope, apis };

  const router = new Router<{ session: Session }>();
  router.get('/login', (ctx) => beginSignIn(party, ctx));
  router.get('/callback', (ctx) => finishSignIn(party, ctx));
  router.post('/call', (ctx) => callApis(party, ctx.state.session));
  router.post('/refresh', async (ctx) => {
    const { session } = ctx.state;
    session.access.clear();
    await refresh(party, session, apis[0]?.resource);
    session.note = `New tokens came at ${new Date().toISOString().slice(11, 19)} UTC.`;
  });
  router.post('/logout', (ctx) => signOut(party, ctx));
  router.get('/', (ctx) => {
    ctx.type = 'html';
    ctx.body = page(title, content(ctx.state.session));
  });

  const app = new Koa();
  app.use(withHeaders(issuer));
  app.use(endSessionsOf(sessions, logoutTokens));
  app.use(sessions.middleware);
  app.use(showProblems);
  app.use(router.routes());
  return app.callback();
}

type SessionContext = Context & { state: { session: Session } };

async function beginSignIn({ provider, url, scope, apis }: Party, ctx: SessionContext): Promise<void> {
  const codeVerifier = client.randomPKCECodeVerifier();
  const pending = { state: client.randomState(), nonce: client.randomNonce(), codeVerifier };
  ctx.state.session.pending = pending;
  const parameters = new URLSearchParams({
    redirect_uri: `${url}/callback`,
    scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
    code_challenge_method: 'S256',
  });
  for (const { resource } of apis) if (resource) parameters.append('resource', resource);
  ctx.redirect(client.buildAuthorizationUrl(provider, parameters).href);
}

async function finishSignIn({ provider, sessions, url, apis }: Party, ctx: SessionContext): Promise<void> {
  const { pending } = ctx.state.session;
  if (!pending) throw new Error('This sign-in was not begun here.');
  delete ctx.state.session.pending;
  const resource = apis[0]?.resource;
  const tokens = await client.authorizationCodeGrant(
    provider,
    new URL(ctx.url, url),
    { expectedState: pending.state, expectedNonce: pending.nonce, pkceCodeVerifier: pending.codeVerifier },
    resource ? { resource } : {},
  );
  // The library has verified the ID token: signature, issuer, audience, time, nonce.
  const claims = tokens.claims();
  if (!claims || !tokens.id_token) throw new Error('The provider sent no ID token.');
  const session = sessions.begin(ctx);
  session.signedIn = { idToken: tokens.id_token, claims };
  keep(session, tokens, resource);
}

async function callApis(party: Party, session: Session): Promise<void> {
  for (const { url, resource = '' } of party.apis) {
    if (!session.access.has(resource)) await refresh(party, session, resource);
    const authorization = `Bearer ${session.access.get(resource)}`;
    const response = await fetch(url, { headers: { authorization } });
    session.answers.push({ url, answer: (await response.json()) as Record<string, unknown> });
  }
}

/** Gets new tokens. Each refresh token works once, so the answer contains the next one. */
async function refresh({ provider }: Party, session: Session, resource = ''): Promise<void> {
  const token = session.signedIn?.refreshToken;
  if (!token) throw new Error('There is no refresh token: sign in first.');
  keep(session, await client.refreshTokenGrant(provider, token, resource ? { resource } : {}), resource);
}

function signOut({ provider, sessions, url }: Party, ctx: SessionContext): void {
  const { signedIn } = ctx.state.session;
  sessions.begin(ctx);
  const hint = signedIn && { id_token_hint: signedIn.idToken };
  ctx.redirect(client.buildEndSessionUrl(provider, { ...hint, post_logout_redirect_uri: `${url}/` }).href);
}

const withHeaders =
  (issuer: string): Middleware =>
  async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    // Browsers apply form-action also to the redirects after a form, so it must contain the provider's origin.
    ctx.set(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'self'; img-src data:; form-action 'self' ${issuer}; base-uri 'none'; frame-ancestors 'none'`,
    );
    if (ctx.path !== '/style.css') return next();
    ctx.type = 'css';
    ctx.body = stylesheet;
  };

/** Back-channel logout. The provider sends this request, so it has no session cookie. It names the session to end. */
const endSessionsOf =
  (sessions: Party['sessions'], logoutTokens: ReturnType<typeof createLogoutTokens>): Middleware =>
  async (ctx, next) => {
    if (ctx.method !== 'POST' || ctx.path !== '/backchannel-logout') return next();
    const form = new URLSearchParams(await text(ctx.req));
    try {
      sessions.end(await logoutTokens(form.get('logout_token') ?? ''));
      ctx.status = 204;
    } catch {
      ctx.status = 400;
    }
  };

const showProblems: Middleware = async (ctx, next) => {
  const session: Session = ctx.state.session;
  if (ctx.method === 'POST' || ctx.path === '/callback') {
    session.answers = [];
    delete session.problem;
    delete session.note;
    // Redirect to the page, so that a reload does not post the form again. A route may redirect elsewhere.
    ctx.status = 303;
    ctx.redirect('/');
  }
  await next().catch((error: Error) => {
    // The provider has ended the session that this sign-in belongs to, for example by a sign-out elsewhere.
    if (error instanceof client.ResponseBodyError && error.error === 'invalid_grant') delete session.signedIn;
    session.problem = explain(error);
  });
};

function keep(session: Session, tokens: client.TokenEndpointResponse, resource = ''): void {
  session.access.set(resource, tokens.access_token);
  if (session.signedIn && tokens.refresh_token) session.signedIn.refreshToken = tokens.refresh_token;
}

function explain(error: Error): string {
  if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError)
    return `The provider answered ${error.error}: ${error.error_description ?? 'no more is known'}`;
  return error.message;
}

function content({ signedIn, problem, answers, note }: Session): Html {
  const complaint = problem ? html`<p class="problem" role="alert">${problem}</p>` : undefined;
  if (!signedIn) {
    return html`<p>You are not signed in here.</p>${complaint}
<div class="buttons">${button('Sign in', '/login', 'get')}</div>`;
  }
  const replies = answers.map(({ url, answer }) => html`<h2>${url} answered</h2>${table(answer)}`);
  return html`<p>You are signed in.</p>${complaint}${note ? html`<p role="status">${note}</p>` : undefined}
<div class="buttons">${[button('Call the API', '/call'), button('Refresh', '/refresh'), button('Sign out', '/logout')]}</div>
${replies}<h2>What the ID token says</h2>${table(signedIn.claims)}`;
}
