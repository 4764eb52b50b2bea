/** oidc-provider without any override, to test what the overrides take for granted. */
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type Configuration } from 'oidc-provider';

export const key = await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey);

/** `stored`: what its adapters keep, by id. `calls`: what they were asked to write. */
export function bareProvider(
  stored = new Map<string, object>(),
  ProviderClass = Provider,
  features: object = {},
  more: Partial<Configuration> = {},
) {
  const calls: string[] = [];
  const adapter = (model: string) => ({
    async upsert(id: string, payload: object) {
      calls.push(`${model}.upsert`);
      stored.set(id, payload);
    },
    find: async (id: string) => stored.get(id),
    findByUid: async (uid: string) =>
      [...stored.values()].find((payload) => 'uid' in payload && payload.uid === uid),
    async consume() {
      calls.push(`${model}.consume`);
    },
    async destroy(id: string) {
      calls.push(`${model}.destroy`);
      stored.delete(id);
    },
  });
  // All that the library would warn of is given.
  const provider = new ProviderClass('http://localhost:1', {
    adapter: adapter as never,
    cookies: { keys: ['x'] },
    jwks: { keys: [key] },
    features: { devInteractions: { enabled: false }, ...features },
    ttl: { AccessToken: 900, Grant: 900, AuthorizationCode: 60, ClientCredentials: 900, Interaction: 60 },
    ...more,
  });
  return { provider, calls };
}
