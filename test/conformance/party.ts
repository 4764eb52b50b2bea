/**
 * A relying party for the modules here: what a browser meets between its request and its answer, and the checks that every
 * module makes of tokens and claims, with jose and nothing of the server's own.
 */
import { createHash } from 'node:crypto';
import { createRemoteJWKSet, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose';
import request from 'supertest';
import { expect } from 'vitest';
import { type App, asApp, interactionOf, type Person, type TokenAnswer } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';

/** How an authorization request ended. */
export interface Answer {
  /** By which way the answer came to the app; `page` where none came. */
  by: 'query' | 'fragment' | 'form_post' | 'page';
  /** Where the browser is: the app's address, or that of our page. */
  at: URL;
  status: number;
  params: Record<string, string>;
  /** What was asked of the person on the way. */
  asked: ('password' | 'consent')[];
  /** The pages that were shown on the way, and the last one. */
  pages: string[];
}

export type Params = Record<string, string | undefined>;

/** What an app's page says of a form that posts itself on. */
function formPost(html: string): { action: string; params: Record<string, string> } | undefined {
  const action = /<form[^>]*action="([^"]+)" data-form-post>/.exec(html)?.[1];
  if (!action) return undefined;
  const fields = html.matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g);
  return { action, params: Object.fromEntries([...fields].map(([, name, value]) => [name, value])) };
}

/** What the app sends with a request of the code flow, if nothing else is said. */
export const usual = (app: App): Params => ({
  client_id: app.client_id,
  redirect_uri: app.redirect_uri,
  response_type: 'code',
  scope: 'openid',
  state: 'a state',
  nonce: 'a nonce',
});

/** Sends the person with a request; `post`: as an app's page posts it, from another site. */
export function ask(
  server: TestServer,
  person: Person,
  app: App,
  params: Params = {},
  { post = false } = {},
): Promise<Answer> {
  const wanted = Object.entries({ ...usual(app), ...params }).filter(([, value]) => value !== undefined);
  const query = Object.fromEntries(wanted);
  const { agent } = person;
  const sent = post
    ? agent.post('/auth').type('form').set('Origin', 'https://rp.example').send(query)
    : agent.get('/auth').query(query).accept('html');
  return goOn(server, person, sent);
}

/** Goes on from an answer of the authorization endpoint, doing what our pages ask, until the app or a page that asks nothing. */
export async function goOn(
  server: TestServer,
  person: Person,
  sent: PromiseLike<request.Response>,
  decision: 'allow' | 'deny' = 'allow',
): Promise<Answer> {
  const { agent } = person;
  let answer = await sent;
  const asked: Answer['asked'] = [];
  const pages: string[] = [];
  for (let hop = 0; hop < 10; hop++) {
    const { location } = answer.headers;
    if (!location) {
      const posted = formPost(answer.text);
      if (!posted) pages.push(answer.text);
      const at = new URL(posted?.action ?? server.url);
      const { status } = answer;
      return { by: posted ? 'form_post' : 'page', at, status, params: posted?.params ?? {}, asked, pages };
    }
    const at = new URL(location, server.url);
    if (at.host !== new URL(server.url).host) {
      const by = at.hash ? 'fragment' : 'query';
      const params = Object.fromEntries(new URLSearchParams(at.hash ? at.hash.slice(1) : at.search));
      return { by, at, status: answer.status, params, asked, pages };
    }
    const uid = interactionOf(at);
    const next = uid === undefined ? at : await step(person, uid, decision, asked, pages);
    answer = await agent.get(next.pathname + next.search).accept('html');
  }
  throw new Error('the browser is sent around in circles');
}

/** Does what a page of the sign-in asks; returns where that sends the browser. */
async function step(
  person: Person,
  uid: string,
  decision: string,
  asked: Answer['asked'],
  pages: string[],
): Promise<URL> {
  const { text } = await person.agent.get(`/interaction/${uid}`).accept('html');
  pages.push(text);
  if (text.includes('-password"')) {
    asked.push('password');
    return person.totpSecret ? person.signIn(uid) : person.signUp(uid, `${person.username}@example.org`);
  }
  asked.push('consent');
  const { body } = await person.step(uid, 'consent', { decision });
  return new URL(body.location);
}

/** An app that authenticates by a signed assertion, if it has no secret. */
export interface Party extends App {
  assertion?: () => Promise<string>;
}

/** What a form to the token endpoint has of the app's assertion, where it makes one. */
export const assertionOf = async ({ assertion }: Party): Promise<Record<string, string>> =>
  assertion === undefined
    ? {}
    : {
        client_assertion: await assertion(),
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      };

/** Sends the code of an answer to the token endpoint. */
export const redeem = async (server: TestServer, app: Party, { params }: Answer, more: object = {}) =>
  asApp(server, app, {
    grant_type: 'authorization_code',
    code: params.code ?? '',
    redirect_uri: app.redirect_uri,
    ...(await assertionOf(app)),
    ...more,
  });

export const userinfo = (server: TestServer, token: string) =>
  request(server.url).get('/me').auth(token, { type: 'bearer' });

/** The left half of a hash, as `at_hash` has it (OpenID Connect Core, section 3.1.3.6). */
const halfHash = (text: string) =>
  createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url');

/** Checks an ID token as section 3.1.3.7 of OpenID Connect Core says; returns its claims. */
export async function checkIdToken(
  server: TestServer,
  app: Pick<App, 'client_id'>,
  tokens: Pick<TokenAnswer, 'id_token' | 'access_token'>,
  { alg = 'RS256', nonce }: { alg?: string; nonce: string | undefined },
): Promise<JWTPayload> {
  const { body: discovered } = await request(server.url).get('/.well-known/openid-configuration');
  // The library goes by the machine's clock, whose tokens are fresh; logins go by ours, which tests turn.
  const { payload } = await jwtVerify(
    tokens.id_token,
    createRemoteJWKSet(new URL(discovered.jwks_uri.replace(discovered.issuer, server.url))),
    {
      issuer: discovered.issuer,
      audience: app.client_id,
      algorithms: [alg],
      maxTokenAge: 300,
      requiredClaims: ['sub', 'exp', 'iat'],
    },
  );
  expect(decodeProtectedHeader(tokens.id_token).kid).toEqual(expect.any(String));
  expect(payload.sub).toMatch(/^[\x20-\x7e]{1,255}$/);
  expect(payload.nonce).toBe(nonce);
  if (payload.at_hash !== undefined) expect(payload.at_hash).toBe(halfHash(tokens.access_token));
  if (payload.auth_time !== undefined)
    expect(payload.auth_time).toBeLessThanOrEqual(server.clock.now() / 1000);
  // What a scope asks for is told at userinfo.
  for (const claim of ['name', 'email', 'preferred_username']) expect(payload).not.toHaveProperty(claim);
  return payload;
}

/** A request that has to succeed: the answer, the tokens and what they say have been checked. */
export async function succeed(
  server: TestServer,
  person: Person,
  app: Party,
  params: Params = {},
  options: { post?: boolean } = {},
) {
  const answer = await ask(server, person, app, params, options);
  expect(answer.params).toMatchObject({ code: expect.any(String), iss: server.url });
  expect(Object.keys(answer.params)).not.toContain('error');
  expect(answer.params.state).toBe('state' in params ? params.state : 'a state');
  if (answer.by === 'form_post') expect(answer.at.search).toBe('');
  // 128 bits: 22 characters of base64url.
  expect(answer.params.code?.length).toBeGreaterThanOrEqual(22);
  const exchanged = await redeem(server, app, answer);
  expect([exchanged.status, exchanged.body]).toEqual([200, expect.anything()]);
  expect(exchanged.headers['cache-control']).toContain('no-store');
  const tokens = exchanged.body as TokenAnswer;
  expect(tokens).toMatchObject({ token_type: 'Bearer', expires_in: expect.any(Number) });
  const nonce = 'nonce' in params ? params.nonce : 'a nonce';
  const claims = await checkIdToken(server, app, tokens, { nonce });
  const { status, body: person_ } = await userinfo(server, tokens.access_token);
  expect([status, person_.sub]).toEqual([200, claims.sub]);
  return { answer, tokens, claims, userinfo: person_ as Record<string, unknown> };
}

/** Sends the person to sign out and has them confirm it where they are asked. */
export async function signOut(person: Person, query: Record<string, string>, { post = false } = {}) {
  const { agent } = person;
  const path = '/session/end';
  const begun = post ? agent.post(path).type('form').send(query).redirects(1) : agent.get(path).query(query);
  const page = await begun.accept('html');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  if (page.status === 303) return { page, location: new URL(String(page.headers.location)) };
  if (xsrf === undefined) return { page, location: undefined };
  const done = await agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  return { page, location: new URL(String(done.headers.location)) };
}
