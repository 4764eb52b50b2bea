/**
 * Stores oidc-provider's remaining models as rows of one table: grants, codes, device codes, CIBA requests, and the
 * access tokens of registration. A row is found by the hash of its id, so a database dump holds nothing that can be
 * presented. A record is used by a conditional update: of several concurrent callers exactly one succeeds.
 */
import { sha256 } from '../../lib/crypto.ts';
import { readableRow } from '../../lib/formats.ts';
import { lifeSeconds, lostAnswerMs, sameInstantMs } from '../../lifetimes.ts';
import type { Database, Query } from '../../storage/database.ts';
import { jsonb } from '../../storage/jsonb.ts';
import type { Statement } from '../../storage/statement.ts';

export interface RecordPayload {
  jti?: string;
  grantId?: string;
  accountId?: string;
  uid?: string;
  userCode?: string;
  [name: string]: unknown;
}

/** What an account has granted to an app. */
export interface ListedGrant {
  /** The hash of its id. */
  idHash: string;
  clientId: string;
  scopes: string[];
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** One attempt to use a record, such as a code that a client presents. */
export interface Use {
  /** Marks the record as used. Returns a row unless it was used before or is gone. */
  statement: Statement;
  /** Runs the statement alone. False if the record was used before or is gone. */
  run(): Promise<boolean>;
  /**
   * Why the statement returned no row: the same client repeats its request a moment later (`repetition`), the record
   * was used before by somebody else or longer ago (`replay`), or it does not exist (`gone`).
   */
  whyNot(): Promise<'repetition' | 'replay' | 'gone'>;
}

/** The models that a client polls for (RFC 8628, section 3.5; CIBA Core, section 11). */
export const polledModels: ReadonlySet<string> = new Set(['DeviceCode', 'BackchannelAuthenticationRequest']);

/** A record to store. */
export interface Saving {
  model: string;
  id: string;
  payload: RecordPayload;
  ttlSeconds: number;
  /**
   * Changes an existing record, but only if it has none of these fields. So the first of several concurrent answers
   * wins.
   */
  unless?: readonly string[];
}

export interface RecordStore {
  /** Creates or changes a record. False if `unless` was given, and the record is gone or has one of those fields. */
  save(record: Saving, query?: Query): Promise<boolean>;
  /** The statement that saves, to be committed with other writes. It returns a row if it has saved. */
  saving(record: Saving): Statement;
  /**
   * The payload of a record that has not expired. A used record has `used: true`. It also has `consumed` (unix
   * seconds) if its use is too long ago for this to be a repetition. The statement that `query` runs also returns
   * `grant_id`, `account_id` and `session_uid`.
   */
  byId(model: string, id: string, query?: Query): Promise<RecordPayload | undefined>;
  /** Finds a device code by its user code. `jti` is a reference and not the id, which only the device knows. */
  byUserCode(model: string, userCode: string): Promise<RecordPayload | undefined>;
  /**
   * The unexpired records of an account that have none of the fields `answers`. At most 50, those that expire first.
   */
  unanswered(
    model: string,
    accountId: string,
    answers: readonly string[],
  ): Promise<{ idHash: string; payload: RecordPayload }[]>;
  /**
   * Prepares a use of the record. `hand` identifies the client: a repetition must have the same `hand` as the first
   * use. If it is undefined, no repetition is recognized. A used record is kept at least as long as an access token
   * is valid.
   */
  using(model: string, id: string, hand: string | undefined): Use;
  remove(model: string, id: string): Promise<void>;
  /** The unexpired grants of an account. At most 200, those that expire last. */
  grantsOf(accountId: string): Promise<ListedGrant[]>;
  removeOfGrant(model: string, grantId: string, query?: Query): Promise<void>;
}

/** The fields of oidc-provider's Grant that pages show. */
interface GrantPayload {
  clientId: string;
  iat: number;
  openid?: { scope?: string };
  resources?: Record<string, string>;
}

/** A presented record. `hand` identifies the client that presents it. */
interface Presentation {
  model: string;
  id: string;
  hand: string | undefined;
}

interface Row {
  payload: RecordPayload;
  consumed_at: Date | null;
}

/** The row of a used record. `used_by` is the `hand` of its use, or null if that was undefined. */
interface UsedRow {
  consumed_at: Date | null;
  used_by: string | null;
}

/** Bounds on the rows that one page is made of. */
const mostListed = 200;
const mostAsked = 50;

const readable = readableRow('record');

/** The payload of a record, with what format 2 has in columns alone. */
export const wholePayload = `jsonb_strip_nulls(jsonb_build_object('grantId', grant_id, 'accountId', account_id)) || payload as payload`;

const referenceMark = '#';

/**
 * A reference names a record by the hash of its id, where the id is unknown. A database dump holds that hash, so
 * input from outside must not be accepted as a reference. No id that is made here begins with its mark.
 */
export const isReference = (id: string): boolean => id.startsWith(referenceMark);

/** The reference to the record with this hash of an id. */
export const referenceTo = (idHash: string): string => referenceMark + idHash;

const hashOf = (id: string): string => (isReference(id) ? id.slice(referenceMark.length) : sha256(id));

/**
 * How many seconds longer than it is valid a record of this model is stored from the start. A use keeps its record for
 * the life of an access token. If the expiry changed only then, each use of a code would write four entries of indexes.
 */
const keptAfterUse = (model: string): number => (model === 'AuthorizationCode' ? lifeSeconds.accessToken : 0);

/** Of a record that is stored for longer than it is valid. Once it is used it may be read until it expires. */
const isValid = (at: string): string =>
  `(valid_until is null or valid_until > ${at} or consumed_at is not null)`;

/** How long after the first use the same client may repeat its request, in milliseconds. */
const repetitionMs = (model: string): number => (polledModels.has(model) ? lostAnswerMs : sameInstantMs);

/** The payload in the shape that the library expects. */
const payloadOf = (model: string, { payload, consumed_at }: Row, nowMs: number): RecordPayload =>
  consumed_at
    ? {
        ...payload,
        used: true,
        ...(nowMs - consumed_at.getTime() >= repetitionMs(model) && {
          consumed: Math.floor(consumed_at.getTime() / 1000),
        }),
      }
    : payload;

function savingOf({ model, id, payload, ttlSeconds, unless = [] }: Saving, nowMs: number): Statement {
  const { jti: _, kind: __, ...stored } = payload;
  const { grantId = null, accountId = null, uid = null, userCode = null } = stored;
  const kept = keptAfterUse(model);
  const expiresAt = new Date(nowMs + (ttlSeconds + kept) * 1000);
  const changed = [model, hashOf(id), jsonb(stored), grantId, accountId, expiresAt];
  // An answer only changes an existing row. An upsert would try to insert when another answer changes the row
  // concurrently, and could fail with a unique violation of the user code's index.
  if (unless.length > 0)
    return {
      text: `update records set payload = $3, grant_id = $4, account_id = $5, expires_at = $6
             where model = $1 and id_hash = $2 and not payload ?| $7::text[]
             returning model`,
      values: [...changed, unless],
    };
  return {
    text: `insert into records (model, id_hash, payload, grant_id, account_id, expires_at, uid, user_code, valid_until)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           on conflict (model, id_hash) do update set payload = excluded.payload, grant_id = excluded.grant_id,
             account_id = excluded.account_id, expires_at = excluded.expires_at, valid_until = excluded.valid_until
           returning model`,
    values: [...changed, uid, userCode, kept > 0 ? new Date(nowMs + ttlSeconds * 1000) : null],
  };
}

function useOf(query: Query, at: number, { model, id, hand }: Presentation): Use {
  const statement = {
    // The previous release looks for the hand in the payload. It is written there only for the models that are
    // polled: a new payload makes the write of a code seven times as large.
    text: `update records set consumed_at = $3, expires_at = greatest(expires_at, $4), used_by = $5,
             payload = case when $6 then payload || jsonb_build_object('usedBy', $5::text) else payload end
           where model = $1 and id_hash = $2 and consumed_at is null
           returning model`,
    values: [
      ...[model, hashOf(id), new Date(at), new Date(at + lifeSeconds.accessToken * 1000)],
      ...[hand ?? null, polledModels.has(model)],
    ],
  };
  return {
    statement,
    run: async () => (await query(statement.text, statement.values)).length === 1,
    async whyNot() {
      const [row] = await query<UsedRow>(
        `select consumed_at, coalesce(used_by, payload->>'usedBy') as used_by from records
         where model = $1 and id_hash = $2`,
        [model, hashOf(id)],
      );
      if (!row?.consumed_at) return 'gone';
      const isSameHand = hand !== undefined && row.used_by === hand;
      const isSoon = Math.abs(row.consumed_at.getTime() - at) < repetitionMs(model);
      return isSameHand && isSoon ? 'repetition' : 'replay';
    },
  };
}

/** `now`: milliseconds since the epoch. */
export function createRecordStore({ query }: Database, now: () => number): RecordStore {
  const saving = (record: Saving) => savingOf(record, now());
  return {
    saving,
    using: (model, id, hand) => useOf(query, now(), { model, id, hand }),
    async save(record, on = query) {
      const { text, values } = saving(record);
      return (await on(text, values)).length === 1;
    },
    async byId(model, id, on = query) {
      const [row] = await on<Row>(
        `select ${wholePayload}, consumed_at, grant_id, account_id, payload->>'sessionUid' as session_uid
         from records where model = $1 and id_hash = $2 and expires_at > $3 and ${isValid('$3')} and ${readable}`,
        [model, hashOf(id), new Date(now())],
      );
      return row && { ...payloadOf(model, row, now()), jti: id };
    },
    async byUserCode(model, userCode) {
      const [row] = await query<Row & { id_hash: string }>(
        `select id_hash, payload, consumed_at from records
         where model = $1 and user_code = $2 and expires_at > $3 and ${readable}`,
        [model, userCode, new Date(now())],
      );
      return row && { ...payloadOf(model, row, now()), jti: referenceTo(row.id_hash) };
    },
    async unanswered(model, accountId, answers) {
      const rows = await query<{ id_hash: string; payload: RecordPayload }>(
        `select id_hash, payload from records
         where model = $1 and account_id = $2 and expires_at > $3 and ${readable} and not payload ?| $4::text[]
         order by expires_at, id_hash limit $5`,
        [model, accountId, new Date(now()), answers, mostAsked],
      );
      return rows.map(({ id_hash: idHash, payload }) => ({ idHash, payload }));
    },
    async remove(model, id) {
      await query('delete from records where model = $1 and id_hash = $2', [model, hashOf(id)]);
    },
    async grantsOf(accountId) {
      const rows = await query<{ id_hash: string; payload: GrantPayload }>(
        `select id_hash, payload from records where model = 'Grant' and account_id = $1 and expires_at > $2
         order by expires_at desc limit $3`,
        [accountId, new Date(now()), mostListed],
      );
      return rows.map(({ id_hash: idHash, payload: { clientId, iat, openid, resources } }) => ({
        idHash,
        clientId,
        scopes: [openid?.scope ?? '', ...Object.values(resources ?? {})].join(' ').split(' ').filter(Boolean),
        createdAt: iat * 1000,
      }));
    },
    async removeOfGrant(model, grantId, on = query) {
      await on('delete from records where model = $1 and grant_id = $2', [model, grantId]);
    },
  };
}
