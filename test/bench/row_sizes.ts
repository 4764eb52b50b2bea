/**
 * `node test/bench/row_sizes.ts`: which rows a sign-up, a sign-in and a refresh leave, and how large a row is with its indexes.
 * docs/operate/capacity.md is computed from it.
 */
import pg from 'pg';
import { buildServer } from '../support/built.ts';
import { refresh } from './oauth.ts';
import { createOpaqueClients } from './opaque_clients.ts';
import { signIn, signUp } from './sign_in.ts';
import { buildStage } from './stage.ts';
import { startCypher } from './subjects/cypher.ts';

const copies = 100_000;

await buildServer();
const stage = await buildStage();
try {
  const opaque = await createOpaqueClients();
  stage.onClose(opaque.close);
  const cypher = await startCypher(stage, opaque, { people: 2 });
  const client = new pg.Client({ connectionString: cypher.databaseUrl });
  await client.connect();
  stage.onClose(() => client.end());
  const query = async <Row>(text: string) => (await client.query(text)).rows as Row[];

  const tables = (
    await query<{ name: string }>(
      `select relname as name from pg_class
       where relkind in ('r', 'p') and not relispartition and relnamespace = current_schema()::regnamespace order by 1`,
    )
  ).map(({ name }) => name);

  /** What `work` leaves, as "2 records, 1 sessions". Audit events are written a moment later. */
  async function rowsOf(work: () => Promise<unknown>): Promise<string> {
    const count = async () => {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      const columns = tables.map((name) => `(select count(*)::int from ${name}) as ${name}`).join(', ');
      const [row = {}] = await query<Record<string, number>>(`select ${columns}`);
      return row;
    };
    const before = await count();
    await work();
    const after = await count();
    const grown = tables.filter((name) => after[name] !== before[name]);
    return grown.map((name) => `${Number(after[name]) - Number(before[name])} ${name}`).join(', ') || 'none';
  }

  console.log(`a sign-up leaves: ${await rowsOf(() => signUp(cypher, 'newcomer'))}`);
  let token = '';
  const first = async () => {
    token = (await signIn(cypher)).tokens.refresh_token;
  };
  console.log(`a sign-in leaves: ${await rowsOf(first)}`);
  const refreshed = async () => {
    token = (await refresh(cypher, token)).refresh_token;
  };
  console.log(`a refresh leaves: ${await rowsOf(refreshed)}`);

  for (const table of tables)
    for (const which of await kindsOf(table)) console.log(await sizeOf(table, which));

  /** Conditions that choose one row of each kind. The rows of a table may differ much. */
  async function kindsOf(table: string): Promise<string[]> {
    const [kind] = await query<{ name: string }>(
      `select attname as name from pg_attribute where attrelid = '${table}'::regclass and attname in ('model', 'event')`,
    );
    if (!kind) return ['true'];
    const values = await query<{ value: string }>(
      `select distinct ${kind.name} as value from ${table} order by 1`,
    );
    return values.map(({ value }) => `${kind.name} = '${value}'`);
  }

  /** Copies one row many times, with other values of the same length in what is indexed. */
  async function sizeOf(table: string, which: string): Promise<string> {
    const indexed = await query<{ name: string; type: string }>(
      `select attname as name, format_type(atttypid, null) as type from pg_attribute a
       where attrelid = '${table}'::regclass and attname not in ('client_id', 'model', 'event', 'kind')
         and exists (select from pg_index i where i.indrelid = a.attrelid and a.attnum = any(i.indkey))`,
    );
    if (indexed.some(({ type }) => type === 'boolean')) return `${table}: has one row`;
    const other: Record<string, (name: string) => string> = {
      // Short names begin with the number, so that each is there once.
      text: (name) =>
        `left(lpad(n::text, 6, '0') || encode(sha512((${name} || n)::bytea), 'hex'), greatest(length(${name}), 6))`,
      bytea: (name) => `substring(sha512(${name} || n::text::bytea), 1, length(${name}))`,
      bigint: () => 'n',
      integer: () => 'n',
      'timestamp with time zone': (name) => `${name} + n * interval '1 ms'`,
    };
    const names = (
      await query<{ name: string }>(
        `select attname as name from pg_attribute
         where attrelid = '${table}'::regclass and attnum > 0 and not attisdropped order by attnum`,
      )
    ).map(({ name }) => name);
    const value = (name: string) => {
      const type = indexed.find((column) => column.name === name)?.type;
      return type === undefined ? name : (other[type]?.(name) ?? name);
    };
    await query('drop table if exists copied');
    // Without identity and foreign keys, which would refuse the copies.
    await query(`create table copied (like ${table} including defaults including indexes including storage)`);
    await query(
      `insert into copied (${names.join(', ')}) select ${names.map(value).join(', ')}
       from (select * from ${table} where ${which} limit 1) r, generate_series(1, ${copies}) n`,
    );
    await query('vacuum full copied');
    const [{ rows, bytes } = { rows: 0, bytes: 0 }] = await query<{ rows: number; bytes: number }>(
      "select count(*)::int as rows, pg_total_relation_size('copied')::float8 as bytes from copied",
    );
    return `${table}${which === 'true' ? '' : ` (${which})`}: ${rows === 0 ? 'no row' : `${Math.round(bytes / rows)} bytes`}`;
  }
} finally {
  await stage.close();
}
