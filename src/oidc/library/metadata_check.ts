/** oidc-provider's metadata rules without a server, for commands that add a client. */
import Provider, { type JWK } from 'oidc-provider';
import type { Config } from '../../config/load.ts';
import { createOutgoing } from '../../http/outgoing.ts';
import { createClientFetch } from './client_fetches.ts';
import { providerConfiguration } from './configuration.ts';
import { keepScopes, metadataFaults } from './models/client.ts';

/** A function that tells what is wrong with a client's metadata; undefined where nothing is. */
export function createMetadataCheck(
  config: Config,
  jwks: JWK[],
): (metadata: { client_id: string }) => Promise<string | undefined> {
  const unused = () => {
    throw new Error('a metadata check answers no request');
  };
  const provider = new Provider(
    config.ISSUER,
    providerConfiguration({
      config,
      accounts: { byId: unused, parseUsername: unused, idOf: unused },
      adapter: unused,
      jwks,
      cookieSignatures: { sign: unused, index: unused, verify: unused },
      dpopNonceKey: Buffer.alloc(32),
      pairwise: unused,
      consents: { of: unused },
      holdPing: unused,
      waitingFor: unused,
      fetch: createClientFetch({ outgoing: createOutgoing(), count: async () => undefined }),
      anonymousForms: { steps: {}, secretOf: unused },
      pages: {
        error: unused,
        formPost: unused,
        logout: unused,
        loggedOut: unused,
        moveOn: unused,
        userCode: unused,
        userCodeFound: unused,
        deviceConnected: unused,
      },
      now: Date.now,
    }),
  );
  keepScopes(provider);
  return async (metadata) => (await metadataFaults(provider, [metadata])).get(metadata.client_id);
}
