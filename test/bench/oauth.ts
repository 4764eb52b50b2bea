/** The OAuth requests of an app, the same at every subject: codes, tokens, refreshing. */
import { createHash, randomBytes } from 'node:crypto';
import { basic, expectStatus, type Jar } from './http.ts';
import type { Subject } from './subjects/subject.ts';

export interface Code {
  code: string;
  verifier: string;
}

export interface Tokens {
  access_token: string;
  refresh_token: string;
}

export const newVerifier = (): string => randomBytes(32).toString('base64url');

/** The path and query of an authorization request. */
export function authorization({ paths, app }: Subject, verifier: string): string {
  const query = new URLSearchParams({
    client_id: app.id,
    redirect_uri: app.redirectUri,
    response_type: 'code',
    scope: app.scope,
    state: 'a-state',
    nonce: 'a-nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  return `${paths.authorization}?${query}`;
}

/** A code for a browser that is signed in. */
export async function codeOf(subject: Subject, jar: Jar): Promise<Code> {
  const verifier = newVerifier();
  let path = authorization(subject, verifier);
  for (let hop = 0; hop < 6; hop += 1) {
    const answer = expectStatus(await subject.http({ path, jar }), 200, 302, 303);
    // better-auth tells scripts the address in a body.
    const to = new URL(answer.headers.location ?? JSON.parse(answer.text).url, subject.origin);
    const code = to.searchParams.get('code');
    if (code) return { code, verifier };
    path = to.pathname + to.search;
  }
  throw new Error('no code came back');
}

/** Redeems a code. */
export const redeem = (subject: Subject, { code, verifier }: Code): Promise<Tokens> =>
  ask(subject, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: subject.app.redirectUri,
    code_verifier: verifier,
  });

/** Uses a refresh token; the answer has its successor. */
export const refresh = (subject: Subject, token: string): Promise<Tokens> =>
  ask(subject, { grant_type: 'refresh_token', refresh_token: token });

async function ask({ http, paths, app }: Subject, form: Record<string, string>): Promise<Tokens> {
  const headers = { authorization: basic(app) };
  return JSON.parse(expectStatus(await http({ path: paths.token, headers, form }), 200).text) as Tokens;
}

/** Rejects unless the token is told to be active. */
export async function introspect({ http, paths, api }: Subject, token: string): Promise<void> {
  const headers = { authorization: basic(api) };
  const answer = expectStatus(await http({ path: paths.introspection, headers, form: { token } }), 200);
  if (JSON.parse(answer.text).active !== true) throw new Error('the token is not active');
}

/**
 * So many codes, a few from each browser. All codes of a browser share one grant, and the in-memory adapter walks over all
 * tokens of a grant whenever it stores one: it is not to be measured on that.
 */
export async function codesOf(subject: Subject, count: number, eachBrowser: number): Promise<Code[]> {
  const browsers = Math.ceil(count / eachBrowser);
  const codes: Code[] = [];
  for (let browser = 0; browser < browsers; browser += 1) {
    const jar = await subject.signedIn();
    const mine = Math.min(eachBrowser, count - codes.length);
    for (let index = 0; index < mine; index += 1) codes.push(await codeOf(subject, jar));
  }
  return codes;
}

/** So many families of tokens, a few from each browser. */
export async function tokensOf(subject: Subject, count: number, eachBrowser = 20): Promise<Tokens[]> {
  const tokens: Tokens[] = [];
  while (tokens.length < count) {
    const codes = await codesOf(subject, Math.min(eachBrowser, count - tokens.length), eachBrowser);
    // Before the next browser signs in: a code lasts a minute, and many sign-ins take longer on a busy machine.
    tokens.push(...(await Promise.all(codes.map((code) => redeem(subject, code)))));
  }
  return tokens;
}
