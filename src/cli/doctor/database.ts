/** Checks PostgreSQL: version, migrations, privileges, durability, and its clock against this machine's. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../root.ts';
import type { Database } from '../../storage/database.ts';
import type { Finding } from './finding.ts';

type Found = Omit<Finding, 'about'>;

const migrations = join(root, 'migrations');
const oldestMajor = 14;
const mostApartMs = 5000;

/** Rejects if PostgreSQL does not answer. */
export async function checkDatabase({ query }: Database): Promise<Found[]> {
  const [server] = await query<{ version: string; major: number; sync: string; fsync: string }>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
       current_setting('synchronous_commit') as sync, current_setting('fsync') as fsync`,
  );
  if (!server) throw new Error('PostgreSQL does not answer');
  const found: Found[] = [
    server.major >= oldestMajor
      ? { level: 'ok', found: `PostgreSQL ${server.version}` }
      : {
          level: 'fault',
          found: `PostgreSQL ${server.version}`,
          change: `take PostgreSQL ${oldestMajor} or later`,
        },
  ];
  if (server.sync === 'off' || server.fsync === 'off') {
    found.push({
      level: 'fault',
      found: `synchronous_commit is ${server.sync}, fsync is ${server.fsync}: what was acknowledged may be lost`,
      change: 'set both to on',
    });
  }
  return [...found, await checkMigrations(query), await checkPrivileges(query)];
}

async function checkMigrations(query: Database['query']): Promise<Found> {
  const files = (await readdir(migrations)).map((name) => name.replace(/\.sql$/, ''));
  const [table] = await query<{ there: boolean }>("select to_regclass('migrations') is not null as there");
  const rows = table?.there ? await query<{ name: string }>('select name from migrations') : [];
  const run = new Set(rows.map(({ name }) => name));
  const missing = files.filter((name) => !run.has(name)).sort();
  const newer = [...run].filter((name) => !files.includes(name)).sort();
  if (missing.length > 0) {
    return {
      level: 'fault',
      found: `migrations that have not run: ${missing.join(', ')}`,
      change: 'start this version of the server once, or run `npx cypher migrate` as the owner of the tables',
    };
  }
  if (newer.length > 0) {
    return {
      level: 'warning',
      found: `migrations of a newer version have run: ${newer.join(', ')}`,
      change: 'run the commands of that version',
    };
  }
  return { level: 'ok', found: `all ${files.length} migrations have run` };
}

async function checkPrivileges(query: Database['query']): Promise<Found> {
  const lacking = await query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = current_schema() and tablename <> 'migrations' and tablename not like 'audit\\_log%'
       and not has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'select, insert, update, delete')
     order by 1`,
  );
  if (lacking.length === 0) return { level: 'ok', found: 'this user has the privileges it needs' };
  return {
    level: 'fault',
    found: `this user lacks privileges: ${lacking.map(({ name }) => name).join(', ')}`,
    change: 'run `npx cypher migrate --grant-to USER` as the owner of the tables',
  };
}

/** Instances follow PostgreSQL's clock. If this machine's clock is far off, one of the two is wrong. */
export async function checkClock({ query }: Database): Promise<Found[]> {
  const asked = Date.now();
  const [row] = await query<{ ms: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
  );
  const answered = Date.now();
  const apart = Math.round((row?.ms ?? Number.NaN) - (asked + answered) / 2);
  if (Math.abs(apart) <= mostApartMs)
    return [{ level: 'ok', found: `within ${Math.abs(apart)} ms of PostgreSQL's` }];
  return [
    {
      level: 'fault',
      found: `${Math.round(Math.abs(apart) / 1000)} s ${apart > 0 ? 'behind' : 'ahead of'} PostgreSQL's`,
      change: 'set both machines by NTP: tokens and codes go by the time of PostgreSQL',
    },
  ];
}
