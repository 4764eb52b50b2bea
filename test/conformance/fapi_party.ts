/** A FAPI 2.0 client with private_key_jwt and DPoP, whose every assertion, proof and request object can be made wrong. */
import { createHash } from 'node:crypto';
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  exportJWK,
  type GenerateKeyPairResult,
  generateKeyPair,
  importJWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import request from 'supertest';
import { expect } from 'vitest';
import { apps } from '../support/apps.ts';
import { challengeOf, type Person, verifier } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';
import { type Answer, checkIdToken, goOn, type Params } from './party.ts';

type Profile = 'security' | 'message_signing';

/** Keys of a client or of DPoP proofs. */
export interface Keys extends GenerateKeyPairResult {
  alg: string;
}

export async function makeKeys(alg = 'ES256'): Promise<Keys> {
  return { ...(await generateKeyPair(alg, { extractable: true })), alg };
}

const { client_secret: _, ...keyless } = apps.web;

/** The entry of CLIENTS_FILE of a FAPI client with these keys. */
export async function fapiApp(client_id: string, fapi: Profile, { publicKey, alg }: Keys, more: object = {}) {
  const key = { ...(await exportJWK(publicKey)), alg, use: 'sig', kid: client_id };
  return {
    ...keyless,
    client_id,
    fapi,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    request_object_signing_alg: alg,
    jwks: { keys: [key] },
    ...more,
  };
}
export type FapiApp = Awaited<ReturnType<typeof fapiApp>>;

const seconds = () => Math.floor(Date.now() / 1000);
const hashOf = (text: string) => createHash('sha256').update(text).digest('base64url');
const defined = (params: object) =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));

/** How a token or a proof is signed, where it is not as it should be. */
interface Signing {
  keys?: Keys;
  alg?: string;
  header?: object;
}

export interface Pushed {
  params?: Params;
  /** Claims of the client assertion, or no assertion at all. */
  assertion?: object | 'none';
  /** Claims of the request object; `plain`: its parameters unsigned. */
  object?: JWTPayload | 'plain';
  signing?: Signing;
  proof?: string;
}

/** What a client does that is held to `profile`. `keys` are its own, `dpop` those of its proofs. */
export function createFapiParty(server: TestServer, app: FapiApp, keys: Keys, dpop: Keys) {
  const sign = (claims: JWTPayload, { keys: by = keys, alg = by.alg, header = {} }: Signing = {}) =>
    new SignJWT(claims).setProtectedHeader({ alg, kid: app.client_id, ...header }).sign(by.privateKey);

  const party = {
    app,
    keys,
    /** The verifier of the request that was pushed last. */
    codeVerifier: '',

    assertion(claims: object = {}, signing?: Signing) {
      const now = seconds();
      const usual = { iss: app.client_id, sub: app.client_id, aud: server.url, jti: crypto.randomUUID() };
      return sign({ ...usual, iat: now, nbf: now, exp: now + 60, ...claims }, signing);
    },

    async proof(htm: string, path: string, claims: object = {}, signing: Signing = {}): Promise<string> {
      const by = signing.keys ?? dpop;
      const jwk = await exportJWK(by.publicKey);
      const usual = { htm, htu: `${server.url}${path}`, jti: crypto.randomUUID(), iat: seconds() };
      const header = { typ: 'dpop+jwt', jwk, kid: undefined, ...signing.header };
      return sign(defined({ ...usual, ...claims }), { keys: by, ...signing, header });
    },

    thumbprint: async () => calculateJwkThumbprint(await exportJWK(dpop.publicKey)),
    privateJwk: () => exportJWK(dpop.privateKey),
    /** The client's RSA key for an algorithm that FAPI does not allow. */
    async asRs256(): Promise<Keys> {
      return {
        ...keys,
        alg: 'RS256',
        privateKey: (await importJWK(await exportJWK(keys.privateKey), 'RS256')) as Keys['privateKey'],
      };
    },
    async unsignedHeader() {
      const header = { alg: 'none', typ: 'dpop+jwt', jwk: await exportJWK(dpop.publicKey) };
      return Buffer.from(JSON.stringify(header)).toString('base64url');
    },

    /** Posts a form, authenticated as the app unless told otherwise. */
    async post(path: string, form: object, { assertion = {}, signing, proof }: Pushed = {}) {
      const authentication =
        assertion === 'none'
          ? { client_id: app.client_id }
          : {
              client_assertion: await party.assertion(assertion, signing),
              client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
            };
      const post = request(server.url).post(path).type('form');
      if (proof) post.set('dpop', proof);
      return post.send(defined({ ...authentication, ...form }));
    },

    /** What the app asks for, with PKCE. */
    request(params: Params = {}): Params {
      party.codeVerifier = verifier();
      return {
        client_id: app.client_id,
        redirect_uri: app.redirect_uri,
        response_type: 'code',
        scope: 'openid',
        state: 'a state',
        nonce: 'a nonce',
        code_challenge: challengeOf(party.codeVerifier),
        code_challenge_method: 'S256',
        ...(app.fapi === 'message_signing' ? { response_mode: 'jwt' } : {}),
        ...params,
      };
    },

    /** Pushes a request; in message signing as a signed object. */
    async push({ params = {}, object = {}, signing, assertion = {}, proof }: Pushed = {}) {
      const asked = defined(party.request(params));
      const authenticated = { assertion, ...(proof ? { proof } : {}) };
      if (app.fapi !== 'message_signing' || object === 'plain')
        return party.post('/request', asked, authenticated);
      const now = seconds();
      const usual = { iss: app.client_id, aud: server.url, iat: now, nbf: now, exp: now + 60 };
      const signed = await sign(defined({ ...usual, ...asked, ...object }), signing);
      return party.post('/request', { request: signed }, authenticated);
    },

    /** Sends the person with a pushed request; what came back has been opened where it is signed. */
    async visit(
      person: Person,
      request_uri: string,
      beside: Params = {},
      decision?: 'deny',
    ): Promise<Answer> {
      const query = defined({ client_id: app.client_id, request_uri, ...beside });
      const sent = person.agent.get('/auth').query(query).accept('html');
      return party.open(await goOn(server, person, sent, decision));
    },

    async open(answer: Answer): Promise<Answer> {
      const { response } = answer.params;
      if (response === undefined) return answer;
      const jwks = createRemoteJWKSet(new URL(`${server.url}/jwks`));
      const checks = { issuer: server.url, audience: app.client_id, algorithms: ['ES256'] };
      const { payload } = await jwtVerify(response, jwks, { ...checks, requiredClaims: ['exp'] });
      const { aud: _aud, exp: _exp, ...params } = payload;
      return { ...answer, params: params as Record<string, string> };
    },

    /** From a push to the answer. */
    async ask(person: Person, pushed: Pushed = {}, beside: Params = {}, decision?: 'deny'): Promise<Answer> {
      const { status, body } = await party.push(pushed);
      expect([status, body]).toEqual([201, expect.anything()]);
      return party.visit(person, body.request_uri, beside, decision);
    },

    /** The code grant, with a proof unless another one is given, or none. */
    async redeem({ params }: Answer, form: object = {}, pushed: Pushed | { proof: undefined } = {}) {
      const proof = 'proof' in pushed ? pushed.proof : await party.proof('POST', '/token');
      const { codeVerifier: code_verifier } = party;
      const grant = { grant_type: 'authorization_code', code: params.code, redirect_uri: app.redirect_uri };
      return party.post('/token', { ...grant, code_verifier, ...form }, {
        ...pushed,
        ...(proof ? { proof } : {}),
      } as Pushed);
    },

    async userinfo(token: string, { scheme = 'DPoP', proof = '' } = {}) {
      const proven = proof || (await party.proof('GET', '/me', { ath: hashOf(token) }));
      const get = request(server.url).get('/me').set('authorization', `${scheme} ${token}`);
      return proof === 'none' ? get : get.set('dpop', proven);
    },

    /** A whole flow that has to succeed, with all that is checked of it. */
    async succeed(person: Person, pushed: Pushed = {}, beside: Params = {}) {
      const answer = await party.ask(person, pushed, beside);
      expect(answer.params).toMatchObject({ code: expect.any(String), iss: server.url });
      const given: Params = { state: 'a state', nonce: 'a nonce', ...pushed.params };
      expect(answer.params.state).toBe(given.state);
      expect(answer.params.code?.length).toBeGreaterThanOrEqual(22);
      const exchanged = await party.redeem(answer);
      expect([exchanged.status, exchanged.body.token_type]).toEqual([200, 'DPoP']);
      expect(exchanged.headers['cache-control']).toContain('no-store');
      const tokens = exchanged.body;
      const claims = await checkIdToken(server, app, tokens, { alg: 'ES256', nonce: given.nonce });
      const me = await party.userinfo(tokens.access_token);
      expect([me.status, me.body.sub]).toEqual([200, claims.sub]);
      return { answer, tokens, claims, userinfo: me.body as Record<string, unknown> };
    },
  };
  return party;
}

export { hashOf };
export type FapiParty = ReturnType<typeof createFapiParty>;
