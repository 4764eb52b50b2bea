/**
 * The SQL of the messages to apps. A trigger (migrations/0005_deliveries.sql) inserts them in the transaction that
 * ends a session, so that a crash loses none. To take a row schedules its next attempt. If the instance that took it
 * crashes, another one takes it then.
 */
import { lifeSeconds } from '../lifetimes.ts';
import type { Database, Query } from '../storage/database.ts';

export interface Delivery {
  id: string;
  kind: 'logout' | 'ping';
  clientId: string;
  accountId: string;
  /** The `sid` of the session, as the app knows it. For a held message: what it is about. */
  sid: string | undefined;
  /** The message, sealed. */
  sealed: Buffer | undefined;
  /** The number of this attempt, from 1 on. */
  attempt: number;
}

export type DeliveryState = 'waiting' | 'delivered' | 'given_up' | 'no_address';

/** An app of a session that has ended, and whether it was notified. */
export interface NotifiedApp {
  clientId: string;
  state: DeliveryState;
  /** True once the first attempt has an outcome. */
  tried: boolean;
}

export interface HeldMessage {
  clientId: string;
  accountId: string;
  about: string;
  sealed: Buffer;
}

/** How many deliveries are being sent already, by account and by client. */
export interface UnderWay {
  accounts: ReadonlyMap<string, number>;
  clients: ReadonlyMap<string, number>;
}

export interface DeliveryStore {
  /**
   * Takes deliveries that are due, in fair shares. It takes at most `limit`. Together with `underWay`, no account and
   * no client has more than `share`. No other instance takes one of them before its next attempt is due.
   */
  take(limit: number, share: number, underWay: UnderWay): Promise<Delivery[]>;
  /** Stores the outcome of an attempt. `waiting` means that there will be another one. */
  note(id: string, state: DeliveryState, answer: string): Promise<void>;
  /** The apps of a session that has ended. */
  ofSession(sessionUid: string): Promise<NotifiedApp[]>;
  /** Stores a message that is not sent before `release`. `about` identifies it. */
  hold(message: HeldMessage): Promise<void>;
  /** Makes a held message due, in the transaction of `query`. */
  release(query: Query, about: string): Promise<void>;
}

/**
 * The seconds from each attempt to the next one. They are ten minutes in all, which is longer than an app's restart.
 */
const pausesSeconds = [10, 20, 40, 80, 160, 290];

export const mostAttempts = pausesSeconds.length + 1;

/**
 * How many due rows one look reads. Accounts and clients with a full share are left out, so that their rows do not
 * hide those of others.
 */
const mostLookedAt = 1000;

/**
 * Takes deliveries that are due. The first delivery of each account and client comes before the second of any. Rows
 * are locked after they were chosen, so the conditions are checked again: another instance may have taken a row in
 * between.
 */
const take = `
  with due as (
    select id, account_id, client_id, next_attempt_at from deliveries
    where state = 'waiting' and next_attempt_at <= $1
      and coalesce(($6::jsonb->>account_id)::int, 0) < $5 and coalesce(($7::jsonb->>client_id)::int, 0) < $5
    order by next_attempt_at limit ${mostLookedAt}),
  ranked as (
    select id, next_attempt_at,
      coalesce(($6::jsonb->>account_id)::int, 0)
        + row_number() over (partition by account_id order by next_attempt_at, id) as of_account,
      coalesce(($7::jsonb->>client_id)::int, 0)
        + row_number() over (partition by client_id order by next_attempt_at, id) as of_client
    from due),
  fair as (
    select id from ranked where of_account <= $5 and of_client <= $5
    order by greatest(of_account, of_client), next_attempt_at limit $4)
  update deliveries set attempts = attempts + 1,
    next_attempt_at = $1::timestamptz + make_interval(secs => ($2::float8[])[least(attempts + 1, $3::int)])
  where id = any(array(
    select id from deliveries where id = any(array(select id from fair))
      and state = 'waiting' and next_attempt_at <= $1 for update skip locked))
  returning id, kind, client_id, account_id, sid, sealed, attempts`;

interface Row {
  id: string;
  kind: Delivery['kind'];
  client_id: string;
  account_id: string;
  sid: string | null;
  sealed: Buffer | null;
  attempts: number;
}

export function createDeliveryStore({ query }: Database, now: () => number): DeliveryStore {
  return {
    async take(limit, share, { accounts, clients }) {
      const rows = await query<Row>(take, [
        new Date(now()),
        pausesSeconds,
        pausesSeconds.length,
        limit,
        share,
        JSON.stringify(Object.fromEntries(accounts)),
        JSON.stringify(Object.fromEntries(clients)),
      ]);
      return rows.map((row) => ({
        id: row.id,
        kind: row.kind,
        clientId: row.client_id,
        accountId: row.account_id,
        sid: row.sid ?? undefined,
        sealed: row.sealed ?? undefined,
        attempt: row.attempts,
      }));
    },
    async note(id, state, answer) {
      // `waiting` in the condition: a late outcome of an earlier attempt must not replace the outcome of a later one.
      await query(`update deliveries set state = $2, answer = $3 where id = $1 and state = 'waiting'`, [
        id,
        state,
        answer.slice(0, 300),
      ]);
    },
    async hold({ clientId, accountId, about, sealed }) {
      const at = now();
      await query(
        `insert into deliveries (kind, client_id, account_id, sid, sealed, next_attempt_at, created_at, expires_at)
         values ('ping', $1, $2, $3, $4, 'infinity', $5, $6)`,
        [clientId, accountId, about, sealed, new Date(at), new Date(at + lifeSeconds.delivery * 1000)],
      );
    },
    async release(within, about) {
      await within(
        `update deliveries set next_attempt_at = $2 where kind = 'ping' and sid = $1 and attempts = 0`,
        [about, new Date(now())],
      );
    },
    async ofSession(sessionUid) {
      const rows = await query<{ client_id: string; state: DeliveryState; tried: boolean }>(
        `select client_id, state, answer is not null as tried from deliveries
         where session_uid = $1 and kind = 'logout' order by client_id`,
        [sessionUid],
      );
      return rows.map(({ client_id, state, tried }) => ({ clientId: client_id, state, tried }));
    },
  };
}
