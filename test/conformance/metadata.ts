/** What every plan demands of the discovery document and the keys that it names. */
import request from 'supertest';
import { expect } from 'vitest';
import type { TestServer } from '../support/server.ts';

/** The members that must be arrays of text (OpenID Connect Discovery, section 3; RFC 8414, section 2). */
const lists = [
  'scopes_supported',
  'response_types_supported',
  'response_modes_supported',
  'grant_types_supported',
  'acr_values_supported',
  'subject_types_supported',
  'id_token_signing_alg_values_supported',
  'userinfo_signing_alg_values_supported',
  'request_object_signing_alg_values_supported',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg_values_supported',
  'claims_supported',
  'ui_locales_supported',
  'code_challenge_methods_supported',
];

/** Checks the document of `server`, which goes by `issuer`, and the keys; returns the document. */
export async function expectMetadata(server: TestServer, issuer: string) {
  const { status, headers, body } = await request(server.url).get('/.well-known/openid-configuration');
  expect([status, headers['content-type']]).toEqual([200, expect.stringMatching(/^application\/json/)]);
  expect(body.issuer).toBe(issuer);
  for (const name of lists) {
    expect([name, Array.isArray(body[name]), body[name].length > 0]).toEqual([name, true, true]);
    expect(new Set(body[name]).size).toBe(body[name].length);
    for (const value of body[name]) expect(value).toEqual(expect.any(String));
  }
  for (const [name, value] of Object.entries(body)) {
    if (!name.endsWith('_endpoint') && !name.endsWith('_uri')) continue;
    const { origin, search, hash } = new URL(String(value));
    expect([name, origin, search, hash]).toEqual([name, issuer, '', '']);
  }
  for (const name of ['authorization', 'token', 'userinfo', 'end_session'])
    expect(body[`${name}_endpoint`]).toEqual(expect.any(String));
  for (const [name, value] of Object.entries(body))
    if (name.endsWith('_supported') && !Array.isArray(value))
      expect([name, typeof value]).toEqual([name, 'boolean']);
  expect(body.scopes_supported).toContain('openid');
  for (const scope of body.scopes_supported) expect(scope).toMatch(/^[\x21\x23-\x5b\x5d-\x7e]+$/);
  for (const type of body.subject_types_supported) expect(['public', 'pairwise']).toContain(type);
  for (const alg of ['id_token', 'userinfo', 'request_object']) {
    const algs = body[`${alg}_signing_alg_values_supported`];
    expect(algs).toContain('RS256');
    expect(algs).not.toContain('none');
  }
  expect(body.claims_supported).toEqual(expect.arrayContaining(['sub', 'iss', 'auth_time', 'acr']));
  expect(body.claims_parameter_supported).toBe(true);
  expect(body.request_parameter_supported).toBe(true);
  expect(body.code_challenge_methods_supported).toEqual(['S256']);
  for (const locale of body.ui_locales_supported) expect(Intl.getCanonicalLocales(locale)).toEqual([locale]);
  await expectKeys(server, new URL(body.jwks_uri).pathname);
  return body;
}

/** Public keys alone, each with an id of its own, a use and an algorithm. */
async function expectKeys(server: TestServer, path: string): Promise<void> {
  const { body } = await request(server.url).get(path);
  const kids = body.keys.map(({ kid }: { kid: unknown }) => kid);
  expect(new Set(kids).size).toBe(kids.length);
  for (const key of body.keys) {
    expect(key).toMatchObject({ kid: expect.any(String), use: 'sig', alg: expect.any(String) });
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(secret);
  }
  const types = new Set(body.keys.map(({ kty }: { kty: string }) => kty));
  expect(types).toContain('RSA');
}
