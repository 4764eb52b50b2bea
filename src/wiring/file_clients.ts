/**
 * Applies what CLIENTS_FILE and RESOURCES_FILE hold, at the start, on SIGHUP and where they are watched: all of it or
 * nothing.
 */

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
  /** Called with the digests of the files that are in use from now on. */
  onUsed(digests: Files['digests']): void;
  log: Log;
}

export function createFileClients({
  config,
  resources: current,
  provider,
  clients: registry,
  onUsed,
  log,
}: FileClientsDeps) {
  let used: Files['digests'] = {};
  let reloading = Promise.resolve();

  /** Rejects with ConfigError, and applies nothing, if clients break the metadata rules. */
  const use = async ({ clients, resources, digests }: Files) => {
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
    used = digests;
    onUsed(digests);
    for (const id of clashes) {
      log.warn({ client: id }, 'this client is in CLIENTS_FILE and in the database: the file counts');
    }
  };

  async function reloadOnce(onlyChanged: boolean): Promise<void> {
    try {
      const files = loadFiles(config);
      const { CLIENTS_FILE, RESOURCES_FILE } = files.digests;
      if (onlyChanged && CLIENTS_FILE === used.CLIENTS_FILE && RESOURCES_FILE === used.RESOURCES_FILE) return;
      await use(files);
      log.info('CLIENTS_FILE and RESOURCES_FILE were read anew');
    } catch (cause) {
      const faults = cause instanceof ConfigError ? { faults: cause.faults } : { cause };
      log.error(faults, 'CLIENTS_FILE and RESOURCES_FILE were not taken: what they held before still counts');
    }
  }

  return {
    use,
    /**
     * Reads both files again. If they have a fault, it is logged and nothing changes. `onlyChanged`: does nothing if
     * they hold what is in use. One reload ends before the next begins, so that the latest content counts.
     */
    reload({ onlyChanged = false } = {}): Promise<void> {
      reloading = reloading.then(() => reloadOnce(onlyChanged));
      return reloading;
    },
  };
}
