/**
 * Which apps there are: those of CLIENTS_FILE, and those of the database that a command or dynamic registration added.
 * The file wins. What was read from the database is kept until a change is announced (storage/changes.ts), so that a
 * request costs no query; while notices may be missed, every look is a query again.
 */
import type { ClientMetadata, FileClient } from '../config/client_schema.ts';
import type { Database } from '../storage/database.ts';
import { nameKey } from './names.ts';
import type { ClientSecret, ClientSecrets } from './secrets.ts';
import type { ClientStore, StoredClient, StoredSource } from './store.ts';

/** A client as it counts now; another object after every change. */
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
  byId(id: string): Promise<RegisteredClient | undefined>;
  /** Reads the client anew at the next look; for whoever has just changed it, before the notice comes back. */
  forget(id: string): void;
  /** The same for all clients. */
  forgetAll(): void;
  /** The operator's clients that people can begin a sign-in at: not more than a page shows. */
  linked(): Promise<Pick<RegisteredClient, 'id' | 'metadata'>[]>;
  /** Whether a client of the operator's has a name that looks like this one. */
  looksLike(name: string): Promise<boolean>;
  /** Takes these for the file's from now on. Returns the ids that are in the database too, where they do not count. */
  useFile(clients: FileClient[]): Promise<string[]>;
}

export interface ClientRegistryDeps {
  database: Pick<Database, 'watch'>;
  store: Pick<ClientStore, 'byId' | 'linked' | 'hasName' | 'present'>;
  secrets: ClientSecrets;
}

/** So that made-up ids fill no memory. */
const mostKept = 10_000;
/** On the home page. */
const mostLinked = 200;
const possibleId = /^[\x20-\x7E]{1,255}$/;

export function createClientRegistry({ database, store, secrets }: ClientRegistryDeps): ClientRegistry {
  let ofFile = new Map<string, RegisteredClient>();
  let namesOfFile = new Set<string>();
  // Promises, kept from before the query on: a change that is announced meanwhile takes them away.
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

/** Keeps what is being read, unless it fails. */
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

/** One entry of CLIENTS_FILE. */
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

/** One row of the database. Throws where a secret was sealed under another key. */
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
