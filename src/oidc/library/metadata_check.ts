/** oidc-provider's metadata rules, for clients that the operator registers in CLIENTS_FILE or by a command. */

import Provider, { type JWK } from 'oidc-provider';
import type { Config } from '../../config/load.ts';
import { createOutgoing } from '../../http/outgoing.ts';
import { createHolder } from '../../lib/current.ts';
import { withSecret } from '../clients/unknown_secret.ts';
import { byOperatorsChoice, createClientFetch } from './client_fetches.ts';
import { providerConfiguration } from './configuration/configuration.ts';
import { keepScopes } from './models/client.ts';
import { modelOf } from './models/model.ts';

/**
 * Makes the rules available without a server. The returned function resolves with what is wrong with a client's
 * metadata, or with undefined if nothing is.
 */
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
      resources: createHolder(config.resources),
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

/** Maps the id of each client that breaks the library's metadata rules to one sentence that says how. */
export async function metadataFaults(
  provider: Provider,
  clients: readonly { client_id: string }[],
): Promise<Map<string, string>> {
  const Model = modelOf<{ validate(metadata: object): Promise<void> }>(provider, 'Client');
  const faults = new Map<string, string>();
  await Promise.all(
    clients.map(async (client) => {
      try {
        await byOperatorsChoice('', () => Model.validate(withSecret(client)));
      } catch (error) {
        const { message, error_description = message } = error as Error & { error_description?: string };
        faults.set(client.client_id, error_description);
      }
    }),
  );
  return faults;
}
