/** Offline checks of v4.public tokens: what passes, what is refused and why, and how the keys are kept. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/resource_server/index.ts';
import { altered } from '../support/altered.ts';
import { bytesOf, ISSUER, rawKeys, tokensWith } from '../unit/tokens_support.ts';
import { AUDIENCE, type Issuer, startIssuer } from './issuer.ts';

const KEYS = '/.well-known/paseto-keys';
let issuer: Issuer;
let verifier: Verifier;
const verifierWith = (options: Partial<VerifierOptions> = {}) =>
  createVerifier({ issuer: issuer.url, audience: AUDIENCE, now: issuer.now, ...options });
beforeEach(async () => {
  issuer = await startIssuer(Date.UTC(2027, 0, 1));
  verifier = verifierWith();
});
afterEach(() => issuer.close());

const shown = (authorization?: string) => ({ method: 'GET', path: '/reports', authorization });
async function verdictOn(token: string, { scopes = [] as string[], by = verifier } = {}) {
  const verdict = await by.verify(shown(`Bearer ${token}`), scopes);
  return verdict.ok ? 'ok' : verdict.refusal.code;
}
/** A well-formed token under a key that nobody knows. */
const strange = async (seed: number) =>
  tokensWith({ issuer: issuer.url, keys: rawKeys(() => seed), seconds: issuer.now() / 1000 }).seal(
    'public',
    { sub: 'eve', client_id: 'web', aud: AUDIENCE },
    { expiresAt: issuer.now() / 1000 + 600 },
  );

test('a good token is an access with what the token says', async () => {
  const verdict = await verifier.verify(shown(`Bearer ${await issuer.token()}`), ['reports:read']);
  expect(verdict).toMatchObject({
    ok: true,
    access: {
      sub: 'ada',
      clientId: 'web',
      scopes: ['reports:read', 'reports:list'],
      audience: AUDIENCE,
      expiresAt: issuer.now() / 1000 + 600,
      claims: { jti: 'j' },
    },
  });
});

test('Audience: offline, a token that is meant for no API, or for another, is refused', async () => {
  for (const aud of [undefined, '', 'https://other.example.com/', issuer.url, `${AUDIENCE}/`])
    expect.soft([aud, await verdictOn(await issuer.token({ aud }))]).toEqual([aud, 'token_foreign']);
});

test('refusals name what is wrong, with status and challenge', async () => {
  const realm = `realm="${AUDIENCE}"`;
  const metadata = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/reports"';
  const refused = async (authorization: string | undefined, scopes: string[] = []) => {
    const verdict = await verifier.verify(shown(authorization), scopes);
    if (verdict.ok) throw new Error('it was let through');
    const { code, status, headers } = verdict.refusal;
    return [code, status, headers['WWW-Authenticate']];
  };
  expect(await refused(undefined)).toEqual([
    'token_missing',
    401,
    `Bearer ${realm}, ${metadata}, DPoP ${realm}, ${metadata}, algs="ES256 EdDSA Ed25519"`,
  ]);
  expect((await refused('Basic YTpi')).slice(0, 2)).toEqual(['token_missing', 401]);
  expect((await refused('Bearer a b')).slice(0, 2)).toEqual(['request_malformed', 400]);
  expect(await refused('Bearer rubbish')).toEqual([
    'token_malformed',
    401,
    `Bearer ${realm}, error="invalid_token", error_description="This is no access token of a form that is taken here", ${metadata}`,
  ]);
  expect(await refused(`Bearer ${await issuer.token()}`, ['reports:write'])).toEqual([
    'scope_missing',
    403,
    `Bearer ${realm}, error="insufficient_scope", error_description="The token lacks a scope", scope="reports:write", ${metadata}`,
  ]);
});

test('what is not a good token for this API is refused, whatever part of it is wrong', async () => {
  const good = await issuer.token();
  const [, , body = '', footer] = good.split('.');
  const flipped = `v4.public.${altered(body, -9)}.${footer}`;
  const local = await issuer
    .tokens()
    .seal('access', { sub: 'ada', aud: AUDIENCE }, { expiresAt: issuer.now() / 1000 + 9 });
  const ofIssuer = (claims: object, times = {}) => issuer.token(claims, times);
  const cases: [string, string][] = [
    ['token_forged', flipped],
    ['token_malformed', local],
    ['token_malformed', good.slice(0, good.lastIndexOf('.'))],
    ['token_malformed', `v4.public.${body}.${Buffer.from('{"kid":"x"}').toString('base64url')}`],
    ['token_malformed', `v4.public.${'A'.repeat(20_000)}.${footer}`],
    ['token_foreign', await ofIssuer({ aud: 'https://other.example.com/' })],
    ['token_foreign', await ofIssuer({ aud: undefined })],
    ['token_malformed', await ofIssuer({ sub: undefined })],
    ['token_malformed', await ofIssuer({ cnf: { 'x5t#S256': 'a' } })],
    ['token_bound', await ofIssuer({ cnf: { jkt: 'a' } })],
    ['token_expired', await ofIssuer({}, { issuedAt: issuer.now() / 1000 - 700 })],
    ['token_from_the_future', await ofIssuer({}, { issuedAt: issuer.now() / 1000 + 60 })],
    ['token_unknown_key', await strange(77)],
  ];
  for (const [code, token] of cases) expect.soft([code, await verdictOn(token)]).toEqual([code, code]);
  // Signed by a key that the issuer publishes, but for another issuer: the implicit assertion does not fit.
  const keys = [{ kind: 'public' as const, bytes: bytesOf(1), state: 'signing' as const }];
  const others = rawKeys((kind) => 100 + kind.length);
  const foreign = tokensWith({
    issuer: ISSUER,
    keys: [...others.filter(({ kind }) => kind !== 'public'), ...keys],
  });
  expect(await verdictOn(await foreign.seal('public', { aud: AUDIENCE }, { expiresAt: 2e9 }))).toBe(
    'token_forged',
  );
});

test('clocks may be apart as far as the tolerance says, and no further', async () => {
  const token = await issuer.token();
  issuer.advance(609);
  expect(await verdictOn(token)).toBe('ok');
  issuer.advance(2);
  expect(await verdictOn(token)).toBe('token_expired');
  expect(await verdictOn(token, { by: verifierWith({ toleranceSeconds: 60 }) })).toBe('ok');
});

test('a thousand requests fetch the keys once; a flood of unknown key ids at most once in five seconds', async () => {
  const token = await issuer.token();
  const verdicts = await Promise.all(Array.from({ length: 1000 }, () => verdictOn(token)));
  expect([verdicts.every((each) => each === 'ok'), issuer.asked(KEYS)]).toEqual([true, 1]);
  const strangers = await Promise.all(Array.from({ length: 50 }, (_, index) => strange(20 + index)));
  for (let second = 0; second < 20; second += 1) {
    issuer.advance(1);
    await Promise.all([...strangers.map((each) => verdictOn(each)), verdictOn(token)]);
  }
  expect(issuer.asked(KEYS)).toBeLessThanOrEqual(5);
});

test('rotation: a new key is known at its first token, a dropped one dies when the cache expires', async () => {
  const old = await issuer.token({}, { seconds: 900 });
  expect(await verdictOn(old)).toBe('ok');
  issuer.publish(1, 2);
  issuer.advance(6);
  expect(await verdictOn(await issuer.token())).toBe('ok');
  issuer.publish(2);
  expect(await verdictOn(old)).toBe('ok');
  issuer.advance(301);
  expect(await verdictOn(old)).toBe('token_unknown_key');
  expect(await verdictOn(await issuer.token())).toBe('ok');
});

test('the issuer down: kept keys serve for an hour more, then nothing is let through', async () => {
  expect(await verdictOn(await issuer.token())).toBe('ok');
  issuer.stop();
  issuer.advance(400);
  expect(await verdictOn(await issuer.token())).toBe('ok');
  const before = issuer.asked(KEYS);
  await Promise.all(Array.from({ length: 100 }, async () => verdictOn(await strange(9))));
  expect(issuer.asked(KEYS)).toBe(before);
  issuer.advance(3600);
  const verdict = await verifier.verify(shown(`Bearer ${await issuer.token()}`));
  expect(verdict).toMatchObject({
    ok: false,
    refusal: {
      code: 'provider_unreachable',
      status: 503,
      headers: { 'Retry-After': '2' },
      cause: expect.any(Error),
    },
  });
  issuer.start();
  issuer.advance(6);
  expect(await verdictOn(await issuer.token())).toBe('ok');
});

test('a key list that is another issuer’s, too long or no JSON is not taken', async () => {
  const answers = [
    JSON.stringify({ issuer: 'https://evil.example', keys: issuer.tokens().publicKeys() }),
    JSON.stringify({ issuer: issuer.url, keys: [], filler: 'x'.repeat(300_000) }),
    '<html>',
  ];
  for (const body of answers) {
    const by = verifierWith({ fetch: async () => new Response(body) });
    expect.soft(await verdictOn(await issuer.token(), { by })).toBe('provider_unreachable');
  }
});

test('without cache headers the keys are kept for five minutes, with no-store for five seconds', async () => {
  issuer.cacheFor(undefined);
  await verdictOn(await issuer.token());
  issuer.advance(299);
  await verdictOn(await issuer.token());
  expect(issuer.asked(KEYS)).toBe(1);
  issuer.cacheFor('no-store');
  issuer.advance(2);
  await verdictOn(await issuer.token());
  issuer.advance(4);
  expect(await verdictOn(await issuer.token())).toBe('ok');
  expect(issuer.asked(KEYS)).toBe(2);
  issuer.advance(2);
  expect(await verdictOn(await issuer.token())).toBe('ok');
  expect(issuer.asked(KEYS)).toBe(3);
});

test('options that cannot be right are refused at the start', () => {
  const bad: Partial<VerifierOptions>[] = [
    ...[
      'https://id.example.com/',
      'https://id.example.com/a/',
      'https://id.example.com?a',
      'https://ID.example.com',
      'x',
    ].map((wrong) => ({ issuer: wrong })),
    { audience: 'urn:reports' },
    { toleranceSeconds: 3600 },
    { introspection: { clientId: 'a', clientSecret: 'b', cacheSeconds: 3600 } },
  ];
  for (const options of bad) expect.soft(() => verifierWith(options)).toThrow(TypeError);
  expect(() =>
    verifierWith({ audience: 'urn:reports', baseUrl: 'https://api.example.com/v1/' }),
  ).not.toThrow();
  expect(
    verifierWith({ issuer: 'https://id.example.com/tenant' }).metadata?.document.authorization_servers,
  ).toEqual(['https://id.example.com/tenant']);
  expect(
    verifierWith({ audience: 'urn:reports', baseUrl: 'https://api.example.com' }).metadata,
  ).toBeUndefined();
  const { url, document } =
    verifierWith({ audience: 'https://api.example.com/', scopes: ['a'], requireDpop: true }).metadata ?? {};
  expect([url, document]).toEqual([
    'https://api.example.com/.well-known/oauth-protected-resource',
    expect.objectContaining({
      resource: 'https://api.example.com/',
      scopes_supported: ['a'],
      dpop_bound_access_tokens_required: true,
    }),
  ]);
});
