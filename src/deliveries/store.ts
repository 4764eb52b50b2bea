/**
 * Messages to apps, in PostgreSQL. A trigger (migrations/0005_deliveries.sql) inserts them in the transaction that ends a
 * session, so that a crash loses none. Taking a row schedules its next attempt: if the instance that took it dies, another one
 * takes it then.
 */
import { lifeSeconds } from '../lifetimes.ts';
import type { Database, Query } from '../storage/database.ts';

export interface Delivery {
  id: string;
  kind: 'logout' | 'ping';
  clientId: string;
  accountId: string;
  /** What the app knows the session by; of a message that was held: what it is about. */
  sid: string | undefined;
  /** What is sent, sealed. */
  sealed: Buffer | undefined;
  /** This attempt, from 1 on. */
  attempt: number;
}

export type DeliveryState = 'waiting' | 'delivered' | 'given_up' | 'no_address';

/** An app of a session that has ended, and whether it was notified. */
export interface NotifiedApp {
  clientId: string;
  state: DeliveryState;
  /** True once a first attempt has had an outcome. */
  tried: boolean;
}

export interface HeldMessage {
  clientId: string;
  accountId: string;
  about: string;
  sealed: Buffer;
}

/** How many deliveries of whom are under way already. */
export interface UnderWay {
  accounts: ReadonlyMap<string, number>;
  clients: ReadonlyMap<string, number>;
}

export interface DeliveryStore {
  /**
   * Takes what is due, in fair shares: at most `limit`, and so many that of no account and of no client more than `share`
   * are under way. No other instance takes one of them before its next attempt.
   */
  take(limit: number, share: number, underWay: UnderWay): Promise<Delivery[]>;
  /** Notes the outcome of an attempt: `waiting` for another one. */
  note(id: string, state: DeliveryState, answer: string): Promise<void>;
  ofSession(sessionUid: string): Promise<NotifiedApp[]>;
  /** Keeps a message to an app that waits until `release`; `about` names what it is about. */
  hold(message: HeldMessage): Promise<void>;
  /** Lets it go, in the transaction of `query`. */
  release(query: Query, about: string): Promise<void>;
}

/** How long after each attempt the next one follows, in seconds: ten minutes in all, longer than an app's restart. */
const pausesSeconds = [10, 20, 40, 80, 160, 290];

export const mostAttempts = pausesSeconds.length + 1;

/** Of whom a share is under way nothing more is looked at, so that they fill no look and the others are seen. */
const mostLookedAt = 1000;

/**
 * The one that is due first of everybody comes before the second of anybody. Rows are locked after they were chosen: the
 * conditions are stated again for what another instance has changed in between.
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
      // An attempt that came back late does not undo what a later one has reached.
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
