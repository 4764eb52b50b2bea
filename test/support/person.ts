/**
 * A person with a browser and an authenticator, and the app that sends them to sign in. Everything runs over HTTP,
 * with the OPAQUE client in Node. Each step can be taken separately, so that a test can leave one out or repeat it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { generateSync } from 'otplib';
import request from 'supertest';
import { startLogin, startRegistration } from '../../src/browser/opaque_client.ts';
import type { TestServer } from './server.ts';

export interface App {
  client_id: string;
  client_secret?: string;
  redirect_uri: string;
}

export interface TokenAnswer {
  access_token: string;
  refresh_token: string;
  id_token: string;
  scope: string;
  token_type: string;
  expires_in: number;
}

export const verifier = () => randomBytes(32).toString('base64url');
export const challengeOf = (value: string) => createHash('sha256').update(value).digest('base64url');

/** Sends a form to the token endpoint (or another one) as this app. */
export function asApp(
  server: Pick<TestServer, 'url'>,
  app: App,
  form: Record<string, string>,
  path = '/token',
) {
  const post = request(server.url).post(path).type('form');
  return app.client_secret
    ? post.auth(app.client_id, app.client_secret).send(form)
    : post.send({ client_id: app.client_id, ...form });
}

/**
 * Whether an access token lives, as userinfo sees it: for tokens that are meant for no API, which no API may introspect.
 */
export const isAlive = async (server: Pick<TestServer, 'url'>, token: string): Promise<boolean> =>
  (await request(server.url).get('/me').auth(token, { type: 'bearer' })).status === 200;

export type Person = ReturnType<typeof createPerson>;

/** A new browser. `totpSecret` and `recoveryCodes` are learnt at sign-up. */
export function createPerson(
  server: Pick<TestServer, 'url' | 'clock'>,
  username: string,
  password = 'correct horse battery staple',
) {
  const agent = request.agent(server.url);
  const person = {
    agent,
    username,
    password,
    totpSecret: '',
    recoveryCodes: [] as string[],

    /** GETs the authorization endpoint; returns where it redirects. */
    async authorize(app: App, params: Record<string, string> = {}): Promise<URL> {
      const answer = await agent.get('/auth').query({
        client_id: app.client_id,
        redirect_uri: app.redirect_uri,
        response_type: 'code',
        scope: 'openid',
        state: 'a state',
        nonce: 'a nonce',
        ...params,
      });
      if (answer.status !== 303)
        throw new Error(`authorize answered ${answer.status}: ${answer.text.slice(0, 2000)}`);
      return new URL(String(answer.headers.location), server.url);
    },

    step: (uid: string, action: string, body: object) =>
      agent.post(`/interaction/${uid}/${action}`).send(body),

    async register(uid: string, email?: string) {
      const registration = await startRegistration(person.password, IdentityMemHardFn);
      const init = await person.step(uid, 'register/init', { username, request: registration.request });
      if (init.status !== 200) return init;
      const record = await registration.finish(init.body.response);
      return person.step(uid, 'register/finish', { username, record, email });
    },

    async setUpTotp(uid: string) {
      const setup = await person.step(uid, 'totp/setup', {});
      person.totpSecret = setup.body.secret;
      const answer = await person.step(uid, 'totp/verify-setup', { code: person.code() });
      if (answer.status === 200) person.recoveryCodes = answer.body.recovery_codes;
      return answer;
    },

    /** KE1 → KE2, and KE3; that is undefined where the password is wrong. */
    async loginInit(uid: string, options: { username?: string; password?: string } = {}) {
      const login = await startLogin(options.password ?? person.password, IdentityMemHardFn);
      const named = { username: options.username ?? username, ke1: login.ke1 };
      const answer = await person.step(uid, 'login/init', named);
      return { answer, ke3: answer.status === 200 ? await login.finish(answer.body.ke2) : undefined };
    },

    async provePassword(uid: string) {
      const { answer, ke3 } = await person.loginInit(uid);
      return ke3 === undefined ? answer : person.step(uid, 'login/finish', { ke3 });
    },

    /** The code of the next time step; turns the clock so that none is used twice. */
    code(): string {
      server.clock.advance(30);
      return generateSync({ secret: person.totpSecret, epoch: Math.floor(server.clock.now() / 1000) });
    },

    async signUp(uid: string, email?: string): Promise<URL> {
      await expectOk(person.register(uid, email));
      return new URL((await expectOk(person.setUpTotp(uid))).body.location);
    },

    async signIn(uid: string): Promise<URL> {
      await expectOk(person.provePassword(uid));
      return new URL(
        (await expectOk(person.step(uid, 'totp/verify', { code: person.code() }))).body.location,
      );
    },

    /** Follows redirects of this server, allowing what is asked, until the browser is sent elsewhere. */
    async follow(location: URL): Promise<URL> {
      let at = location;
      for (let hop = 0; hop < 10 && at.host === new URL(server.url).host; hop++) {
        const uid = interactionOf(at);
        if (uid) {
          const allowed = await expectOk(person.step(uid, 'consent', { decision: 'allow' }));
          at = new URL(allowed.body.location);
        } else {
          const answer = await agent.get(at.pathname + at.search);
          if (!answer.headers.location)
            throw new Error(`${at.pathname} answered ${answer.status}: ${answer.text.slice(0, 2000)}`);
          at = new URL(answer.headers.location, server.url);
        }
      }
      return at;
    },

    /** From where the authorization endpoint sends on back to the app. Signs up the first time, signs in when asked to. */
    async travel(start: URL): Promise<URL> {
      const uid = interactionOf(start);
      const needsLogin =
        uid !== undefined && (await agent.get(start.pathname)).text.includes('current-password');
      const after =
        !uid || !needsLogin ? start : person.totpSecret ? await person.signIn(uid) : await person.signUp(uid);
      return person.follow(after);
    },

    /** The whole way from the app and back with a code. */
    async codeFor(app: App, params: Record<string, string> = {}): Promise<string> {
      const back = await person.travel(await person.authorize(app, params));
      const code = back.searchParams.get('code');
      if (!code) throw new Error(`no code came back: ${back.href}`);
      return code;
    },

    /** The whole way to tokens. */
    async tokensFor(app: App, params: Record<string, string> = {}): Promise<TokenAnswer> {
      const codeVerifier = verifier();
      const code = await person.codeFor(app, {
        code_challenge: challengeOf(codeVerifier),
        code_challenge_method: 'S256',
        ...params,
      });
      const answer = await asApp(server, app, {
        grant_type: 'authorization_code',
        code,
        redirect_uri: app.redirect_uri,
        code_verifier: codeVerifier,
        ...(params.resource ? { resource: params.resource } : {}),
      });
      if (answer.status !== 200) throw new Error(`token endpoint answered ${answer.status}: ${answer.text}`);
      return answer.body as TokenAnswer;
    },
  };
  return person;
}

/**
 * The tokens of somebody who signs up at a server that has the machine's clock. On a busy machine a server may refuse a step
 * with 503: then somebody else does.
 */
export async function signUpSomebody(
  url: string,
  app: App,
): Promise<{ person: Person; tokens: TokenAnswer }> {
  const clock = { now: Date.now, advance: () => {} };
  for (let tries = 0; ; tries += 1) {
    const person = createPerson({ url, clock }, `somebody-${randomBytes(6).toString('hex')}`);
    try {
      return { person, tokens: await person.tokensFor(app) };
    } catch (error) {
      if (tries > 20 || !String(error).includes('503')) throw error;
    }
  }
}

/** The tokens alone. */
export const tokensOfSomebody = async (url: string, app: App): Promise<TokenAnswer> =>
  (await signUpSomebody(url, app)).tokens;

/** The uid of an interaction's page; undefined for any other address. */
export const interactionOf = (url: URL): string | undefined =>
  /^\/interaction\/([^/]+)/.exec(url.pathname)?.[1];

async function expectOk(sent: PromiseLike<request.Response>): Promise<request.Response> {
  const answer = await sent;
  if (answer.status !== 200) throw new Error(`a step answered ${answer.status}: ${answer.text}`);
  return answer;
}
