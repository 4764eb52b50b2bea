/**
 * The registered clients: those of CLIENTS_FILE, and those of the database that a command or dynamic registration has
 * added. If both have the same id, the file wins. What was read from the database is kept in memory until PostgreSQL
 * notifies us of a change, so most requests need no query. While notifications may be missed, every lookup is a
 * query.
 */
import type { ClientMetadata, FileClient } from '../config/client_schema.ts';
import type { Database } from '../storage/database.ts';
import { nameKey } from './names.ts';
import type { ClientSecret, ClientSecrets } from './secrets.ts';
import type { ClientStore, StoredClient, StoredSource } from './store.ts';

/** A client as it is valid now. After a change of the client it is a new object. */
export interface RegisteredClient {
  readonly id: string;
  readonly source: 'file' | StoredSource;
  /** When it was added, in milliseconds since the epoch; undefined for one of the file. */
  readonly since: number | undefined;
  /** Without secrets. */
  readonly metadata: ClientMetadata;
  readonly secrets: readonly ClientSecret[];
}

export interface ClientRegistry {
  /** The client with this id. Undefined if there is none, or if it is suspended. */
  byId(id: string): Promise<RegisteredClient | undefined>;
  /** Reads the client again at the next lookup. Call it after a change, because the notification comes later. */
  forget(id: string): void;
  /** The same for all clients. */
  forgetAll(): void;
  /** The operator's clients at which people can begin a sign-in (`initiate_login_uri`). At most 200. */
  linked(): Promise<Pick<RegisteredClient, 'id' | 'metadata'>[]>;
  /** Whether the operator has a client whose name looks like this one. */
  looksLike(name: string): Promise<boolean>;
  /**
   * Uses these clients as those of the file from now on. Resolves with the ids that the database has too: there they
   * have no effect.
   */
  useFile(clients: FileClient[]): Promise<string[]>;
}

export interface ClientRegistryDeps {
  database: Pick<Database, 'watch'>;
  store: Pick<ClientStore, 'byId' | 'linked' | 'hasName' | 'present'>;
  secrets: ClientSecrets;
}

/** Invented client ids must not fill the memory. */
const mostKept = 10_000;
/** What the home page shows at most. */
const mostLinked = 200;
const possibleId = /^[\x20-\x7E]{1,255}$/;

/** Makes an empty registry. Call `useFile` before the first lookup. */
export function createClientRegistry({ database, store, secrets }: ClientRegistryDeps): ClientRegistry {
  let ofFile = new Map<string, RegisteredClient>();
  let namesOfFile = new Set<string>();
  // Promises are kept from the start of a query. So a notification during the query removes its result too.
  const kept = new Map<string, Promise<RegisteredClient | undefined>>();
  const looks = new Map<string, Promise<boolean>>();
  const watch = database.watch('cypher_clients', (id) => {
    looks.clear();
    if (id === undefined) kept.clear();
    else kept.delete(id);
  });

  const read = async (id: string) => {
    const stored = await store.byId(id);
    return stored && !stored.suspendedAt ? fromStore(stored, secrets) : undefined;
  };

  return {
    async linked() {
      const stored = (await store.linked(mostLinked)).filter(({ id }) => !ofFile.has(id));
      return [...ofFile.values(), ...stored]
        .filter(({ metadata }) => typeof metadata.initiate_login_uri === 'string')
        .slice(0, mostLinked);
    },
    async looksLike(name) {
      const key = nameKey(name);
      if (namesOfFile.has(key)) return true;
      if (!watch.reliable()) return store.hasName(key);
      return looks.get(key) ?? keep(looks, key, store.hasName(key));
    },
    async byId(id) {
      const written = ofFile.get(id);
      if (written) return written;
      if (!possibleId.test(id)) return undefined;
      if (!watch.reliable()) return read(id);
      return kept.get(id) ?? keep(kept, id, read(id));
    },
    forget: (id) => void kept.delete(id),
    forgetAll() {
      kept.clear();
      looks.clear();
    },
    async useFile(clients) {
      const clashes = await store.present(clients.map(({ client_id }) => client_id));
      ofFile = new Map(clients.map((client) => [client.client_id, fromFile(client, secrets)]));
      namesOfFile = new Set(clients.map(({ client_name, client_id }) => nameKey(client_name ?? client_id)));
      return clashes;
    },
  };
}

/** Keeps a result that is being read. Removes it again if the reading fails. */
function keep<T>(among: Map<string, Promise<T>>, key: string, reading: Promise<T>): Promise<T> {
  for (const oldest of among.keys()) {
    if (among.size < mostKept) break;
    among.delete(oldest);
  }
  among.set(key, reading);
  reading.catch(() => {
    if (among.get(key) === reading) among.delete(key);
  });
  return reading;
}

/** Makes a client from an entry of CLIENTS_FILE. */
export function fromFile(
  { client_secret, client_secrets = [], ...metadata }: FileClient,
  secrets: ClientSecrets,
): RegisteredClient {
  const written = [...(client_secret === undefined ? [] : [client_secret]), ...client_secrets];
  return {
    id: metadata.client_id,
    source: 'file',
    since: undefined,
    metadata,
    secrets: written.map(secrets.fromFile),
  };
}

/** Makes a client from the database. Throws if a secret cannot be unsealed with our keys. */
export function fromStore(
  { id, source, metadata, createdAt: since, secrets: stored }: StoredClient,
  secrets: ClientSecrets,
): RegisteredClient {
  return {
    id,
    source,
    since: since.getTime(),
    metadata,
    secrets: stored.map(({ createdAt, expiresAt, ...secret }) =>
      secrets.restore(id, secret, createdAt, expiresAt),
    ),
  };
}
