/**
 * Saves and removes self-registered clients in the database. What such a client may be is not decided here: its
 * metadata was checked at the registration endpoint.
 */

import type { ClientMetadata } from '../config/client_schema.ts';
import { clientSchema } from '../config/client_schema.ts';
import { AppError } from '../lib/errors.ts';
import type { ClientRegistry } from './registry.ts';
import { type ClientSecrets, needsSecret, needsSecretItself } from './secrets.ts';
import type { ClientStore } from './store.ts';

export interface RegistrationsDeps {
  store: Pick<ClientStore, 'byId' | 'add' | 'change' | 'remove'>;
  registry: Pick<ClientRegistry, 'byId' | 'forget' | 'looksLike'>;
  secrets: ClientSecrets;
  now: () => number;
}

export function createRegistrations({ store, registry, secrets, now }: RegistrationsDeps) {
  /** The metadata to store. A self-registered client is never first-party. */
  const cleaned = (metadata: { client_id: string }): ClientMetadata =>
    clientSchema.parse({ ...metadata, first_party: false });

  return {
    /**
     * Adds or changes a client. `secret`: its new secret, or undefined to keep the old one. Throws AppError 400 if
     * the method needs the secret itself and we do not have it, and AppError 429 if there are too many registered
     * clients.
     */
    async save(given: { client_id: string }, secret: string | undefined): Promise<void> {
      const metadata = cleaned(given);
      const id = metadata.client_id;
      const itself = needsSecretItself(metadata);
      const before = await registry.byId(id);
      if (itself && secret === undefined && !before?.secrets.some(({ text }) => text !== undefined)) {
        throw new AppError(
          'invalid_request',
          'client_secret must be given: this method needs the secret itself.',
        );
      }
      const known = secret === undefined || (before && secrets.matches(secret, before.secrets, now()));
      const mustSeal = itself && !before?.secrets.some(({ text }) => text !== undefined);
      const kept =
        needsSecret(metadata) && secret !== undefined && (!known || mustSeal)
          ? secrets.store(id, secret, itself)
          : undefined;
      const done = before
        ? await store.change(metadata, kept)
        : await store.add({ source: 'registration', metadata }, kept);
      registry.forget(id);
      if (!done)
        throw new AppError('too_many_requests', 'There are as many registered clients as there may be.');
    },
    looksTaken: (name: string): Promise<boolean> => registry.looksLike(name),
    async remove(id: string): Promise<void> {
      await store.remove(id);
      registry.forget(id);
    },
  };
}
