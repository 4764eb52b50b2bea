/**
 * What an administrator can do with clients. Clients in the database can be added, changed and removed. Those of
 * CLIENTS_FILE can only be listed and shown here: they are changed in the file. A secret is returned only once, when
 * it is made.
 */
import type { Audit } from '../audit/audit.ts';
import { type ClientMetadata, clientSchema, type FileClient } from '../config/client_schema.ts';
import { type ClientSecrets, needsSecret, needsSecretItself } from './secrets.ts';
import type { ClientStore, StoredClient } from './store.ts';

export interface ListedClient {
  source: 'file' | StoredClient['source'];
  metadata: ClientMetadata;
  secrets: { id: string; createdAt: Date; expiresAt: Date | null }[];
  /** True for a client of the database that has no effect, because CLIENTS_FILE has the same id. */
  hidden: boolean;
  /** True for a client that was restored from a backup. It has no effect until it is resumed. */
  suspended: boolean;
}

export interface ClientControl {
  /** Adds a client. Resolves with its metadata and its secret, if it needs one. */
  add(metadata: object): Promise<{ metadata: ClientMetadata; secret: string | undefined }>;
  /** Those of CLIENTS_FILE, then those of the database by their ids, in pages. */
  list(): AsyncIterable<ListedClient[]>;
  show(id: string): Promise<ListedClient>;
  /** Makes a new secret. The secrets before it stay valid for `overlapSeconds` more, at most. */
  rotateSecret(id: string, overlapSeconds: number): Promise<{ secret: string; othersEndAt: Date }>;
  /** Resumes one suspended client, or all of them if `id` is undefined. Resolves with the ids of those resumed. */
  resume(id?: string): Promise<string[]>;
  /** Removes a client. Its tokens become invalid and cannot be refreshed. */
  remove(id: string): Promise<void>;
}

export interface ClientControlDeps {
  ofFile: FileClient[];
  store: ClientStore;
  secrets: ClientSecrets;
  /** Resolves with what is wrong with the metadata by the provider's rules, or with undefined. */
  check(metadata: ClientMetadata): Promise<string | undefined>;
  audit: Audit;
  now: () => number;
}

/** Makes the control. Its functions reject with an Error whose message says what is wrong. */
export function createClientControl(deps: ClientControlDeps): ClientControl {
  const { ofFile, store, secrets, audit, now } = deps;
  const isOfFile = (id: string) => isIn(ofFile, id);
  const unknown = (id: string) => new Error(`there is no client "${id}"`);

  async function stored(id: string): Promise<StoredClient> {
    if (isOfFile(id)) throw inFile(id);
    const client = await store.byId(id);
    if (!client) throw unknown(id);
    return client;
  }

  const listedFile: ListedClient[] = ofFile.map(({ client_secret: _, client_secrets: __, ...metadata }) => ({
    source: 'file',
    metadata,
    secrets: [],
    hidden: false,
    suspended: false,
  }));

  async function* list(): AsyncGenerator<ListedClient[]> {
    if (listedFile.length > 0) yield listedFile;
    for await (const page of store.list()) {
      yield page.map((client) => ({
        ...client,
        hidden: isOfFile(client.id),
        suspended: client.suspendedAt !== null,
      }));
    }
  }

  return {
    list,
    async show(id) {
      const written = listedFile.find(({ metadata }) => metadata.client_id === id);
      if (written) return written;
      const client = await stored(id);
      return { ...client, hidden: false, suspended: client.suspendedAt !== null };
    },
    add: (given) => addClient(deps, given),
    async rotateSecret(id, overlapSeconds) {
      const { metadata } = await stored(id);
      if (!needsSecret(metadata))
        throw new Error(`"${id}" has no secret: ${metadata.token_endpoint_auth_method}`);
      const secret = secrets.make();
      const othersEndAt = new Date(now() + overlapSeconds * 1000);
      await store.replaceSecret(id, secrets.store(id, secret, needsSecretItself(metadata)), othersEndAt);
      audit.record({ event: 'client.secret_rotated', clientId: id, detail: { overlapSeconds } });
      return { secret, othersEndAt };
    },
    async resume(id) {
      if (id !== undefined && !(await stored(id)).suspendedAt) throw new Error(`"${id}" is not suspended`);
      const resumed = await store.resume(id);
      for (const clientId of resumed) audit.record({ event: 'client.resumed', clientId });
      return resumed;
    },
    async remove(id) {
      await stored(id);
      await store.remove(id);
      audit.record({ event: 'client.removed', clientId: id });
    },
  };
}

const isIn = (ofFile: FileClient[], id: string): boolean => ofFile.some(({ client_id }) => client_id === id);
const inFile = (id: string) => new Error(`"${id}" is in CLIENTS_FILE: change it there`);

async function addClient(
  { ofFile, store, secrets, check, audit }: ClientControlDeps,
  given: object,
): ReturnType<ClientControl['add']> {
  if ('client_secret' in given || 'client_secrets' in given) {
    throw new Error('client_secret must not be given: it is made here and shown once');
  }
  const parsed = clientSchema.safeParse(given);
  if (!parsed.success) {
    throw new Error(
      parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n'),
    );
  }
  const metadata = parsed.data;
  const fault = await check(metadata);
  if (fault) throw new Error(fault);
  const id = metadata.client_id;
  if (isIn(ofFile, id)) throw inFile(id);
  const secret = needsSecret(metadata) ? secrets.make() : undefined;
  const kept = secret === undefined ? undefined : secrets.store(id, secret, needsSecretItself(metadata));
  if (!(await store.add({ source: 'command', metadata }, kept))) {
    throw new Error(`there is a client "${id}" already`);
  }
  audit.record({ event: 'client.added', clientId: id });
  return { metadata, secret };
}
