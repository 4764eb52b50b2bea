/**
 * Makes the rows of the expiry measurement in bulk, in the form in which the product makes each of them, and measures
 * the space that they take.
 */
import type { Query } from '../../src/storage/database.ts';

const tables = ['refresh_families', 'revocations', 'spent'] as const;

const payload = JSON.stringify({
  ...{
    accountId: 'x'.repeat(24),
    clientId: 'web',
    scope: 'openid profile offline_access',
  },
  ...{ grantId: 'g'.repeat(43), sessionUid: 's'.repeat(21), gty: 'authorization_code', iat: 1, exp: 2 },
  ...{ claims: {}, rotations: 0, iiat: 1, authTime: 1, acr: 'urn:cypher:mfa', amr: ['pwd', 'otp', 'mfa'] },
});
const id = (what: string, length = 43) =>
  `substr(translate(encode(sha256(('${what}' || n)::bytea), 'base64'), '+/=', '-_'), 1, ${length})`;

/**
 * Families `from` to `to`, each rotated once. For each also a login's two spent rows, which live for a
 * minute, as in production, and for every fifth a revocation. All but those expire `lifeSeconds` from `at`.
 */
export async function addTokens(
  query: Query,
  from: number,
  to: number,
  lifeSeconds: number,
  at = Date.now(),
) {
  const [now, expires] = [new Date(at), new Date(at + lifeSeconds * 1000)];
  const soon = new Date(at + 60_000);
  const range = [from, to - 1];
  await query(
    `insert into refresh_families (id, grant_id, client_id, account_id, session_uid, offline, created_at, expires_at,
       payload, generation, token_hash, issued_at, token_expires_at)
     select ${id('family')}, ${id('grant')}, 'web', ${id('account', 24)}, ${id('session', 21)}, true, $3, $4,
       $5, 0, ${id('first')}, $3, $4
     from generate_series($1::int, $2::int) n`,
    [...range, now, expires, payload],
  );
  await query(
    `update refresh_families f set generation = 1, token_hash = ${id('second')}, issued_at = $3, used_at = $3
     from generate_series($1::int, $2::int) n where f.id = ${id('family')}`,
    [...range, now],
  );
  await query(
    `insert into revocations (subject, expires_at)
     select 'jti:' || ${id('jti', 24)}, $3 from generate_series($1::int, $2::int, 5) n`,
    [...range, expires],
  );
  await query(
    `insert into spent (id, expires_at) select kind || ${id('spent', 24)}, $3
     from generate_series($1::int, $2::int) n, unnest(array['ke2:', 'step:']) kind`,
    [...range, soon],
  );
}

export interface Size {
  table: string;
  live: number;
  expired: number;
  megabytes: number;
  fresh: number;
  ratio: number;
}

/** Of each table and its indexes, beside a fresh copy of its live rows, written in the order in which they came. */
export async function sizes(query: Query, now = Date.now()): Promise<Size[]> {
  const found: Size[] = [];
  const at = new Date(now);
  for (const table of tables) {
    const total = async (name: string) =>
      Number((await query<{ n: string }>(`select pg_total_relation_size('${name}') n`))[0]?.n) / 2 ** 20;
    const megabytes = await total(table);
    const [options] = await query<{ text: string | null }>(
      `select array_to_string(reloptions, ', ') as text from pg_class where relname = '${table}'`,
    );
    await query(
      `create unlogged table fresh_${table} (like ${table} including all) ${options?.text ? `with (${options.text})` : ''}`,
    );
    await query(
      `insert into fresh_${table} select * from ${table} where expires_at > $1 order by expires_at`,
      [at],
    );
    const [count] = await query<{ live: number; expired: number }>(
      `select count(*) filter (where expires_at > $1)::int live, count(*) filter (where expires_at <= $1)::int expired
       from ${table}`,
      [at],
    );
    const fresh = await total(`fresh_${table}`);
    found.push({ table, live: 0, expired: 0, ...count, megabytes, fresh, ratio: megabytes / fresh });
  }
  return found;
}
