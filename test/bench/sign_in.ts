/**
 * The whole way into Cypher, request by request, as a native app goes it: authorize → KE1 → KE3 → TOTP → code → tokens.
 * Pages and their assets are not fetched.
 */
import { generateSync } from 'otplib';
import { type Answer, expectStatus, type Jar, type Send } from './http.ts';
import { authorization, newVerifier, redeem, type Tokens } from './oauth.ts';
import type { Cypher } from './subjects/cypher.ts';

/** Told of every request of a sign-in, with its milliseconds. */
export type Heard = (kind: 'login' | 'token', ms: number) => void;

type To = (send: Send, ...statuses: number[]) => Promise<Answer>;

/** The requests of one browser. */
function browser({ http }: Cypher, jar: Jar, heard: Heard): To {
  return async (send, ...statuses) => {
    const begun = performance.now();
    const answer = expectStatus(await http({ ...send, jar }), ...statuses);
    heard('login', performance.now() - begun);
    return answer;
  };
}

const pathOf = (address: string | undefined, origin: string): string => {
  const url = new URL(address ?? '', origin);
  return url.pathname + url.search;
};

/** Begins a sign-in; returns the path of its interaction. */
export async function begin(cypher: Cypher, jar: Jar, verifier: string, heard: Heard = () => {}) {
  const to = browser(cypher, jar, heard);
  const answer = await to({ path: authorization(cypher, verifier) }, 303);
  return pathOf(answer.headers.location, cypher.origin);
}

/** KE1 → KE2 at an interaction. */
export async function sendKe1(cypher: Cypher, jar: Jar, at: string, username: string, ke1: string) {
  return cypher.http({ path: `${at}/login/init`, json: { username, ke1 }, jar });
}

export async function signIn(cypher: Cypher, heard: Heard = () => {}): Promise<{ jar: Jar; tokens: Tokens }> {
  const { opaque, people, origin } = cypher;
  const jar: Jar = new Map();
  const to = browser(cypher, jar, heard);
  const verifier = newVerifier();
  const at = await begin(cypher, jar, verifier, heard);
  const { ke1, state } = opaque.ke1();
  const json = { username: people.next(), ke1 };
  const init = await to({ path: `${at}/login/init`, json }, 200);
  const ke3 = await opaque.ke3(state, JSON.parse(init.text).ke2);
  await to({ path: `${at}/login/finish`, json: { ke3 } }, 200);
  const verified = await to({ path: `${at}/totp/verify`, json: { code: people.code() } }, 200);
  const resumed = await to({ path: pathOf(JSON.parse(verified.text).location, origin) }, 303);
  const code = new URL(resumed.headers.location ?? '').searchParams.get('code') ?? '';
  const begun = performance.now();
  const tokens = await redeem(cypher, { code, verifier });
  heard('token', performance.now() - begun);
  return { jar, tokens };
}

/** A sign-in that fails at KE3. */
export async function failToSignIn(cypher: Cypher, heard: Heard): Promise<void> {
  const jar: Jar = new Map();
  const to = browser(cypher, jar, heard);
  const at = await begin(cypher, jar, newVerifier(), heard);
  const json = { username: cypher.people.next(), ke1: cypher.opaque.ke1().ke1 };
  await to({ path: `${at}/login/init`, json }, 200);
  const ke3 = Buffer.alloc(32).toString('base64url');
  await to({ path: `${at}/login/finish`, json: { ke3 } }, 401);
}

/** Signs out at the provider, the page's form included. */
export async function signOut(cypher: Cypher, jar: Jar): Promise<void> {
  const page = expectStatus(await cypher.http({ path: '/session/end', jar }), 200);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const form = { xsrf, logout: 'yes' };
  expectStatus(await cypher.http({ path: '/session/end/confirm', form, jar }), 200, 302, 303);
}

/** Signs a new person up, authenticator included. */
export async function signUp(cypher: Cypher, username: string): Promise<void> {
  const { opaque } = cypher;
  const jar: Jar = new Map();
  const to = browser(cypher, jar, () => {});
  const at = await begin(cypher, jar, newVerifier());
  const request = await opaque.registrationRequest();
  const init = await to({ path: `${at}/register/init`, json: { username, request } }, 200);
  const record = await opaque.record(JSON.parse(init.text).response);
  await to({ path: `${at}/register/finish`, json: { username, record } }, 200);
  const setup = await to({ path: `${at}/totp/setup`, json: {} }, 200);
  const code = generateSync({ secret: JSON.parse(setup.text).secret });
  await to({ path: `${at}/totp/verify-setup`, json: { code } }, 200);
}
