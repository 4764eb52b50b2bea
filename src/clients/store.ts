/**
 * Clients in PostgreSQL: metadata in one table, secrets in another. A trigger notifies all instances of every change.
 * The clients of CLIENTS_FILE are not here.
 */
import type { ClientMetadata } from '../config/client_schema.ts';
import { pageRows, pagesOf } from '../lib/pages.ts';
import { endOfClient } from '../revocation/end_of_client.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import { nameKey } from './names.ts';
import type { StoredSecret } from './secrets.ts';

export type StoredSource = 'command' | 'registration';

export interface StoredClient {
  id: string;
  source: StoredSource;
  metadata: ClientMetadata;
  createdAt: Date;
  /** Set if the client was restored from a backup. It has no effect until the operator resumes it. */
  suspendedAt: Date | null;
  /** The secrets that have not expired, the newest first. */
  secrets: (StoredSecret & { createdAt: Date; expiresAt: Date | null })[];
}

export interface ClientStore {
  byId(id: string): Promise<StoredClient | undefined>;
  /** All clients of the database, by id, in pages. */
  list(): AsyncIterable<StoredClient[]>;
  /** The operator's clients at which people can begin a sign-in. At most `most`, ordered by id. */
  linked(most: number): Promise<Pick<StoredClient, 'id' | 'metadata'>[]>;
  /** Whether the operator has a client whose name has this key (`nameKey`). */
  hasName(key: string): Promise<boolean>;
  /** Recomputes the name keys of the operator's clients. Another version may have computed them in another way. */
  renewNameKeys(): Promise<void>;
  /** Which of these ids the database has. */
  present(ids: string[]): Promise<string[]>;
  /** Adds a client. False if the id is taken, or if there are too many self-registered clients. */
  add(client: { source: StoredSource; metadata: ClientMetadata }, secret?: StoredSecret): Promise<boolean>;
  /** Replaces the metadata, and adds `secret` to the client's secrets. False if there is no such client. */
  change(metadata: ClientMetadata, secret?: StoredSecret): Promise<boolean>;
  /** Adds a secret. All other secrets expire at `othersEndAt`, or earlier if they already would. */
  replaceSecret(id: string, secret: StoredSecret, othersEndAt: Date): Promise<void>;
  /** Resumes one suspended client, or all of them if `id` is undefined. Resolves with the ids of those resumed. */
  resume(id?: string): Promise<string[]>;
  /**
   * Removes the client. For an operator's client it also ends the refresh families, and removes grants, codes and
   * consents. False if there was no such client.
   */
  remove(id: string): Promise<boolean>;
}

/** A bound, so that open registration cannot fill the disk. */
const mostRegistered = 10_000;

interface Row {
  id: string;
  source: StoredSource;
  metadata: ClientMetadata;
  created_at: Date;
  suspended_at: Date | null;
  secret_id: string | null;
  hash: Buffer | null;
  sealed: Buffer | null;
  kek_id: string | null;
  secret_created_at: Date;
  expires_at: Date | null;
}

const select = `select c.id, c.source, c.metadata, c.created_at, c.suspended_at, s.id as secret_id, s.hash, s.sealed, s.kek_id,
    s.created_at as secret_created_at, s.expires_at
  from clients c left join client_secrets s on s.client_id = c.id and (s.expires_at is null or s.expires_at > $1)`;
const order = 'order by c.id, s.created_at desc, s.id';

/** `now`: milliseconds since the epoch. */
export function createClientStore(database: Database, now: () => number): ClientStore {
  const at = () => new Date(now());
  return { ...clientReads(database, at), ...nameReads(database), ...clientWrites(database, at) };
}

type Reads = 'byId' | 'list' | 'linked' | 'present';

function clientReads({ query }: Database, at: () => Date): Pick<ClientStore, Reads> {
  return {
    async byId(id) {
      return together(await query<Row>(`${select} where c.id = $2 ${order}`, [at(), id]))[0];
    },
    list: () =>
      pagesOf<StoredClient>(async (last) => {
        const page = 'select id from clients where id > $2 order by id limit $3';
        const rows = await query<Row>(`${select} where c.id = any(array(${page})) ${order}`, [
          ...[at(), last?.id ?? '', pageRows],
        ]);
        return together(rows);
      }),
    linked: (most) =>
      query<Pick<StoredClient, 'id' | 'metadata'>>(
        `select id, metadata from clients where source = 'command' and metadata ? 'initiate_login_uri' and suspended_at is null
         order by id limit $1`,
        [most],
      ),
    async present(ids) {
      const rows = await query<{ id: string }>('select id from clients where id = any($1) order by id', [
        ids,
      ]);
      return rows.map(({ id }) => id);
    },
  };
}

function nameReads({ query }: Database): Pick<ClientStore, 'hasName' | 'renewNameKeys'> {
  return {
    async hasName(key) {
      const rows = await query("select from clients where source = 'command' and name_key = $1 limit 1", [
        key,
      ]);
      return rows.length > 0;
    },
    async renewNameKeys() {
      const rows = await query<{ id: string; name: string; key: string | null }>(
        `select id, coalesce(metadata->>'client_name', id) as name, name_key as key from clients where source = 'command'`,
      );
      const stale = rows.filter(({ name, key }) => key !== nameKey(name));
      if (stale.length === 0) return;
      // The condition leaves out clients that were renamed concurrently: they already have a newer key.
      await query(
        `update clients c set name_key = n.key from unnest($1::text[], $2::text[], $3::text[]) as n (id, name, key)
         where c.id = n.id and coalesce(c.metadata->>'client_name', c.id) = n.name`,
        [stale.map(({ id }) => id), stale.map(({ name }) => name), stale.map(({ name }) => nameKey(name))],
      );
    },
  };
}

function clientWrites(
  database: Database,
  at: () => Date,
): Omit<ClientStore, Reads | 'hasName' | 'renewNameKeys'> {
  const { query } = database;

  async function addSecret(on: Query, clientId: string, secret: StoredSecret): Promise<void> {
    await on(
      'insert into client_secrets (id, client_id, hash, sealed, kek_id, created_at) values ($1, $2, $3, $4, $5, $6)',
      [secret.id, clientId, secret.hash, secret.sealed, secret.kekId, at()],
    );
  }

  return {
    add: ({ source, metadata }, secret) =>
      database.transaction(async (on) => {
        const rows = await on(
          `insert into clients (id, source, metadata, name_key, created_at, changed_at)
           select $1, $2, $3, $6, $4, $4
           where $2 <> 'registration' or (select count(*) from clients where source = 'registration') < $5
           on conflict (id) do nothing returning id`,
          [metadata.client_id, source, jsonb(metadata), at(), mostRegistered, keyOf(metadata)],
        );
        if (rows.length === 0) return false;
        if (secret) await addSecret(on, metadata.client_id, secret);
        return true;
      }),
    change: (metadata, secret) =>
      database.transaction(async (on) => {
        const rows = await on(
          'update clients set metadata = $2, name_key = $4, changed_at = $3 where id = $1 returning id',
          [metadata.client_id, jsonb(metadata), at(), keyOf(metadata)],
        );
        if (rows.length === 0) return false;
        if (secret) await addSecret(on, metadata.client_id, secret);
        return true;
      }),
    async replaceSecret(id, secret, othersEndAt) {
      await database.transaction(async (on) => {
        await on(
          `update client_secrets set expires_at = least(expires_at, $2) where client_id = $1
           and (expires_at is null or expires_at > $2)`,
          [id, othersEndAt],
        );
        await on('delete from client_secrets where client_id = $1 and expires_at <= $2', [id, at()]);
        await addSecret(on, id, secret);
      });
    },
    async resume(id) {
      const rows = await query<{ id: string }>(
        `update clients set suspended_at = null
         where suspended_at is not null and ($1::text is null or id = $1) returning id`,
        [id ?? null],
      );
      return rows.map((row) => row.id).sort();
    },
    async remove(id) {
      const [gone] = await query<{ source: StoredSource }>(
        'delete from clients where id = $1 returning source',
        [id],
      );
      // The id of a self-registered client is random and never used again, so nothing can use what it leaves.
      if (gone?.source === 'registration') return true;
      // An operator can give the same id to a new client. It must not inherit grants and consents of the old one.
      await database.maintain(...endOfClient(id, at()));
      return gone !== undefined;
    },
  };
}

const keyOf = ({ client_name, client_id }: ClientMetadata): string => nameKey(client_name ?? client_id);

/** Groups the rows of the join: one object per client, with its secrets. */
function together(rows: Row[]): StoredClient[] {
  const clients = new Map<string, StoredClient>();
  for (const row of rows) {
    const { id, source, metadata, created_at: createdAt, suspended_at: suspendedAt } = row;
    const client = clients.get(id) ?? { id, source, metadata, createdAt, suspendedAt, secrets: [] };
    clients.set(id, client);
    if (row.secret_id === null) continue;
    client.secrets.push({
      id: row.secret_id,
      hash: row.hash,
      sealed: row.sealed,
      kekId: row.kek_id,
      createdAt: row.secret_created_at,
      expiresAt: row.expires_at,
    });
  }
  return [...clients.values()];
}
