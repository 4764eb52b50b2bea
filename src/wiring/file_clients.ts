/** Applies what CLIENTS_FILE and RESOURCES_FILE hold, at the start and on SIGHUP: all of it or nothing. */

import type Provider from 'oidc-provider';
import type { ClientRegistry } from '../clients/registry.ts';
import { type Config, ConfigError, type Files, loadFiles } from '../config/load.ts';
import type { Resource } from '../config/schema.ts';
import type { Holder } from '../lib/current.ts';
import type { Log } from '../lib/log.ts';
import { metadataFaults } from '../oidc/library/metadata_check.ts';

interface FileClientsDeps {
  config: Config;
  resources: Holder<readonly Resource[]>;
  provider: Provider;
  clients: Pick<ClientRegistry, 'useFile'>;
  log: Log;
}

export function createFileClients({
  config,
  resources: current,
  provider,
  clients: registry,
  log,
}: FileClientsDeps) {
  /** Rejects with ConfigError, and applies nothing, if clients break the metadata rules. */
  const use = async ({ clients, resources }: Files) => {
    const faults = await metadataFaults(provider, clients);
    if (faults.size > 0) {
      throw new ConfigError(
        [...faults].map(([id, fault]) => {
          const index = clients.findIndex(({ client_id }) => client_id === id);
          return `CLIENTS_FILE ${config.CLIENTS_FILE}: $[${index}] ${fault}`;
        }),
      );
    }
    const clashes = await registry.useFile(clients);
    current.replace(resources);
    for (const id of clashes) {
      log.warn({ client: id }, 'this client is in CLIENTS_FILE and in the database: the file counts');
    }
  };

  return {
    use,
    /** Reads both files again. If they have a fault, it is logged and nothing changes. */
    async reload() {
      try {
        await use(loadFiles(config));
        log.info('CLIENTS_FILE and RESOURCES_FILE were read anew');
      } catch (cause) {
        const faults = cause instanceof ConfigError ? { faults: cause.faults } : { cause };
        log.error(
          faults,
          'CLIENTS_FILE and RESOURCES_FILE were not taken: what they held before still counts',
        );
      }
    },
  };
}
