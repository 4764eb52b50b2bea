/** What src/oidc/library/live_keys.ts takes for granted of oidc-provider: its keystore can be filled anew, in one step. */
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type JWK } from 'oidc-provider';
import { expect, test } from 'vitest';
import { createCookieSignatures } from '../../src/lib/cookie_signatures.ts';
import { replaceKeys } from '../../src/oidc/library/live_keys.ts';

const newKey = async (kid: string) =>
  ({
    ...(await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey)),
    kid,
    use: 'sig',
    alg: 'RS256',
  }) as JWK;

interface IdTokenModel {
  new (
    available: object,
    context: { ctx: object; client: object },
  ): {
    set(name: string, value: unknown): void;
    issue(options: { use: string }): Promise<string>;
  };
  validate(jwt: string, client: object): Promise<object>;
}

test('replaced keys sign by their order, verify while they are there, and are published without their private parts', async () => {
  const [first, second] = [await newKey('first'), await newKey('second')];
  const provider = new Provider('http://localhost:1', {
    clients: [{ client_id: 'app', client_secret: 'secret', redirect_uris: ['https://app.example/callback'] }],
    cookies: { keys: ['x'] },
    jwks: { keys: [first] },
    features: { devInteractions: { enabled: false } },
  });
  const client = await provider.Client.find('app');
  if (!client) throw new Error('there is no client');
  const IdToken = provider.IdToken as unknown as IdTokenModel;
  const issue = async () => {
    const token = new IdToken({ sub: 'ada' }, { ctx: { oidc: { provider, client } }, client });
    token.set('sub', 'ada');
    const jwt = await token.issue({ use: 'idtoken' });
    return { jwt, kid: JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString()).kid };
  };
  const published = async () => {
    const ctx = { oidc: { provider } } as { oidc: object; body?: { keys: JWK[] } };
    const { default: renderJwks } = await import('oidc-provider/lib/actions/jwks.js' as string);
    renderJwks(ctx);
    return ctx.body?.keys ?? [];
  };

  const old = await issue();
  expect(old.kid).toBe('first');
  const cookies = createCookieSignatures([Buffer.from('a key')]);
  replaceKeys(provider, [second, first], cookies);
  expect(provider.keys).toBe(cookies);
  expect((await issue()).kid).toBe('second');
  await expect(IdToken.validate(old.jwt, client)).resolves.toBeTruthy();
  expect((await published()).map(({ kid }) => kid)).toEqual(['second', 'first']);
  for (const key of await published()) expect(key).not.toMatchObject({ d: expect.anything() });

  replaceKeys(provider, [second], cookies);
  await expect(IdToken.validate(old.jwt, client)).rejects.toThrow();
  expect(() => replaceKeys(provider, [{ ...second, kty: 'oct' }], cookies)).toThrow();
  expect((await issue()).kid).toBe('second');
});
