/** Machines whose clocks are off by far more than the leeway: all instances go by PostgreSQL's clock. */
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterEach, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import type { BehindProxies } from '../support/behind_proxies.ts';
import { asApp, challengeOf, createPerson, verifier } from '../support/person.ts';
import { startBehind, startProcess } from '../support/provider_process.ts';

const { spa, web } = apps;

let at: BehindProxies;
afterEach(() => at.close());

/** Another instance on the storage of `at`, on a machine whose clock is off by so many seconds. */
async function startOff(seconds: number) {
  const shift = `const Exact = Date; globalThis.Date = class extends Exact {
    constructor(...args) { super(...(args.length ? args : [Exact.now() + ${seconds * 1000}])); }
    static now() { return Exact.now() + ${seconds * 1000}; }
  };`;
  const provider = await startProcess({
    ISSUER: at.server.url,
    DATABASE_URL: at.direct.databaseUrl,
    REDIS_URL: at.direct.redisUrl,
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(shift)}`,
  });
  await provider.up();
  return provider;
}

test('Faults: clocks two minutes apart: codes are redeemed, retries answered, sessions and tokens good on every instance', async () => {
  const { at: storage, first } = await startBehind(spa);
  at = storage;
  const [fast, slow] = await Promise.all([startOff(60), startOff(-60)]);
  const refresh = (on: { url: string }, token: string) =>
    asApp(on, spa, { grant_type: 'refresh_token', refresh_token: token });

  const somewhere = { url: at.server.url, clock: { now: Date.now, advance: () => {} } };
  for (const [one, other] of [
    [fast, slow],
    [slow, fast],
  ] as const) {
    const codeVerifier = verifier();
    const challenge = { code_challenge: challengeOf(codeVerifier), code_challenge_method: 'S256' };
    const code = await createPerson(somewhere, `ada-${one.port}`).codeFor(web, challenge);
    const redeemed = await asApp(one, web, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: web.redirect_uri,
      code_verifier: codeVerifier,
    });
    expect(redeemed.status, redeemed.text).toBe(200);
    const { id_token, access_token } = redeemed.body;
    const { iat = 0, exp = 0 } = decodeJwt(String(id_token));
    expect(Math.abs(iat - Date.now() / 1000)).toBeLessThan(5);
    expect(exp - iat).toBe(3600);
    const asked = await asApp(other, web, { token: access_token }, '/token/introspection');
    expect(asked.body.active).toBe(true);

    const { refresh_token: token } = first;
    const rotated = await refresh(one, token);
    const retried = await refresh(other, token);
    expect([rotated.status, retried.status]).toEqual([200, 200]);
    expect(retried.body.refresh_token).toBe(rotated.body.refresh_token);
    Object.assign(first, rotated.body);
  }
});

test('Proofs in time: exp and nbf of a DPoP proof go by the one clock, on machines whose clocks are minutes apart', async () => {
  ({ at } = await startBehind(spa));
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const person = createPerson({ url: at.server.url, clock: { now: Date.now, advance: () => {} } }, 'bea');
  const { refresh_token } = await person.tokensFor(web);
  let token = refresh_token;
  for (const on of await Promise.all([startOff(180), startOff(-180)])) {
    const now = Math.floor(Date.now() / 1000);
    const proof = (claims: object) =>
      new SignJWT({
        htm: 'POST',
        htu: `${at.server.url}/token`,
        jti: crypto.randomUUID(),
        iat: now,
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(privateKey);
    const refreshed = async (claims: object) =>
      asApp(on, web, { grant_type: 'refresh_token', refresh_token: token }).set('dpop', await proof(claims));
    for (const wrong of [{ exp: now - 90 }, { nbf: now + 90 }])
      expect((await refreshed(wrong)).body.error).toBe('invalid_dpop_proof');
    const { status, text, body } = await refreshed({ exp: now + 90, nbf: now - 5 });
    expect([status, text]).toEqual([200, expect.anything()]);
    token = body.refresh_token;
  }
});
