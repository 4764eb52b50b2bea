/**
 * oidc-provider's remaining models (grants, codes, device codes) as rows of one table, under the hash of their
 * id, so that a dump holds nothing that can be presented. Using a record up is a conditional update: one caller wins.
 */
import { sha256 } from '../../lib/crypto.ts';
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

/** The use of a record by a presentation of it. */
export interface Use {
  /** Uses it up; returns a row where nobody else has. */
  statement: Statement;
  /** Runs the statement by itself. False where somebody else has used it up. */
  run(): Promise<boolean>;
  /**
   * What this presentation is, where the statement returned no row: a repetition by the same hand a moment later, a replay,
   * or one of a record that is not there any more.
   */
  whyNot(): Promise<'repetition' | 'replay' | 'gone'>;
}

/** What a client polls for until it has its answer (RFC 8628, section 3.5; CIBA Core, section 11). */
export const polledModels: ReadonlySet<string> = new Set(['DeviceCode', 'BackchannelAuthenticationRequest']);

/** A record as it is to be stored. */
export interface Saving {
  model: string;
  id: string;
  payload: RecordPayload;
  ttlSeconds: number;
  /** A record that is there is changed, unless it has one of these fields: of parallel answers the first counts. */
  unless?: readonly string[];
}

export interface RecordStore {
  /** Creates or changes a record. False where it was to be changed `unless`, and is gone or has one of the fields. */
  save(record: Saving, query?: Query): Promise<boolean>;
  /** The statement that saves, for whoever writes it together with others; it returns a row where it did. */
  saving(record: Saving): Statement;
  /**
   * The payload, with `used` where it has been used up, and with `consumed` (unix seconds) where that is so long ago that
   * this is no repetition. `query` is given `grant_id`, `account_id` and `session_uid` too.
   */
  byId(model: string, id: string, query?: Query): Promise<RecordPayload | undefined>;
  /** With a reference in the place of its id, which nobody but the device knows. */
  byUserCode(model: string, userCode: string): Promise<RecordPayload | undefined>;
  /** The live records of an account that have none of the fields `answers`: the oldest, as many as a page shows. */
  unanswered(
    model: string,
    accountId: string,
    answers: readonly string[],
  ): Promise<{ idHash: string; payload: RecordPayload }[]>;
  /**
   * A use, as of now. `hand` says by what a repetition is known to come from whoever used it first; where it is undefined
   * there are no repetitions. What was used up is kept for as long as the tokens that came of it.
   */
  using(model: string, id: string, hand: string | undefined): Use;
  remove(model: string, id: string): Promise<void>;
  /** The live grants of an account: the newest, as many as a page shows. */
  grantsOf(accountId: string): Promise<ListedGrant[]>;
  removeOfGrant(model: string, grantId: string, query?: Query): Promise<void>;
}

/** oidc-provider's Grant, as far as a person is shown of it. */
interface GrantPayload {
  clientId: string;
  iat: number;
  openid?: { scope?: string };
  resources?: Record<string, string>;
}

/** A record that is presented. `hand`: by what a repetition is known to come from the same client. */
interface Presentation {
  model: string;
  id: string;
  hand: string | undefined;
}

interface Row {
  payload: RecordPayload;
  consumed_at: Date | null;
}

/** Of a record that was used up. `used_by` is null where nothing tells by whom. */
interface UsedRow {
  consumed_at: Date | null;
  used_by: string | null;
}

/** However many an account has: a page is made of so many at most. */
const mostListed = 200;
const mostAsked = 50;

const referenceMark = '#';

/**
 * A reference stands for an id where that is not at hand: it is made of the hash that a dump holds too, so nothing that
 * comes from outside may be taken for one. No id that is made here begins like one.
 */
export const isReference = (id: string): boolean => id.startsWith(referenceMark);

export const referenceTo = (idHash: string): string => referenceMark + idHash;

const hashOf = (id: string): string => (isReference(id) ? id.slice(referenceMark.length) : sha256(id));

/** For how long after its use a presentation by the same hand passes for a repetition. */
const repetitionMs = (model: string): number => (polledModels.has(model) ? lostAnswerMs : sameInstantMs);

/** The payload as the library is given it. */
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
  const expiresAt = new Date(nowMs + ttlSeconds * 1000);
  const changed = [model, hashOf(id), jsonb(stored), grantId, accountId, expiresAt];
  // An answer changes what is there. An upsert would do too, but while another answer changes the row it may miss it, and
  // fail with a unique violation of the user code's index.
  if (unless.length > 0)
    return {
      text: `update records set payload = $3, grant_id = $4, account_id = $5, expires_at = $6
             where model = $1 and id_hash = $2 and not payload ?| $7::text[]
             returning model`,
      values: [...changed, unless],
    };
  return {
    text: `insert into records (model, id_hash, payload, grant_id, account_id, expires_at, uid, user_code)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict (model, id_hash) do update set payload = excluded.payload, grant_id = excluded.grant_id,
             account_id = excluded.account_id, expires_at = excluded.expires_at
           returning model`,
    values: [...changed, uid, userCode],
  };
}

function useOf(query: Query, at: number, { model, id, hand }: Presentation): Use {
  const statement = {
    text: `update records set consumed_at = $3, expires_at = greatest(expires_at, $4),
             payload = payload || jsonb_build_object('usedBy', $5::text)
           where model = $1 and id_hash = $2 and consumed_at is null
           returning model`,
    values: [
      ...[model, hashOf(id), new Date(at), new Date(at + lifeSeconds.accessToken * 1000)],
      hand ?? null,
    ],
  };
  return {
    statement,
    run: async () => (await query(statement.text, statement.values)).length === 1,
    async whyNot() {
      const [row] = await query<UsedRow>(
        `select consumed_at, payload->>'usedBy' as used_by from records where model = $1 and id_hash = $2`,
        [model, hashOf(id)],
      );
      if (!row?.consumed_at) return 'gone';
      const isSameHand = hand !== undefined && row.used_by === hand;
      const isSoon = Math.abs(row.consumed_at.getTime() - at) < repetitionMs(model);
      return isSameHand && isSoon ? 'repetition' : 'replay';
    },
  };
}

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
        `select payload, consumed_at, grant_id, account_id, payload->>'sessionUid' as session_uid
         from records where model = $1 and id_hash = $2 and expires_at > $3`,
        [model, hashOf(id), new Date(now())],
      );
      return row && { ...payloadOf(model, row, now()), jti: id };
    },
    async byUserCode(model, userCode) {
      const [row] = await query<Row & { id_hash: string }>(
        'select id_hash, payload, consumed_at from records where model = $1 and user_code = $2 and expires_at > $3',
        [model, userCode, new Date(now())],
      );
      return row && { ...payloadOf(model, row, now()), jti: referenceTo(row.id_hash) };
    },
    async unanswered(model, accountId, answers) {
      const rows = await query<{ id_hash: string; payload: RecordPayload }>(
        `select id_hash, payload from records
         where model = $1 and account_id = $2 and expires_at > $3 and not payload ?| $4::text[]
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
