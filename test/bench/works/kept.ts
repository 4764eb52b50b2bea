/** What an app that refreshes for a month leaves in the database, beside the one row of its family. */
import pg from 'pg';
import { refresh, tokensOf } from '../oauth.ts';
import { type Work, whole } from '../work.ts';

/** Every 15 minutes for 30 days. */
const refreshes = 30 * 24 * 4;

interface Kept {
  rows: number;
  bytes: number;
}

export const kept: Work = {
  name: 'kept',
  alone: true,
  async run({ options, cypher, told }) {
    const count = options.quick ? 10 : 40;
    const tokens = (await tokensOf(cypher, count)).map(({ refresh_token }) => refresh_token);
    const before = await keptBy(cypher.databaseUrl);
    let done = 0;
    await Promise.all(
      tokens.map(async (first) => {
        let token = first;
        for (let time = 0; time < refreshes; time += 1) {
          token = (await refresh(cypher, token)).refresh_token;
          done += 1;
          if (done % 1000 === 0) told(`${done} of ${count * refreshes} refreshes`);
        }
      }),
    );
    const after = await keptBy(cypher.databaseUrl);
    const [rows, bytes] = [(after.rows - before.rows) / count, (after.bytes - before.bytes) / count];
    return {
      title: 'what an app that refreshes every 15 minutes for 30 days leaves',
      figures: [],
      ratios: [],
      goals: [
        {
          goal: 'at most 1000 bytes beyond the row of its family',
          figure: `${whole(rows)} rows and ${whole(bytes)} bytes`,
          met: bytes <= 1000,
        },
      ],
      notes: [
        `the growth of all tables and indexes in ${refreshes} refreshes of each of ${count} families, vacuumed before and after`,
        'the month is run as fast as the server answers',
      ],
    };
  },
};

/** The rows of all tables, and their bytes with indexes. */
async function keptBy(databaseUrl: string): Promise<Kept> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // The first vacuum of a table makes its maps, which are no growth.
    await client.query('vacuum');
    const { rows: tables } = await client.query<{ name: string; bytes: number }>(
      `select relname as name, pg_total_relation_size(oid)::float8 as bytes from pg_class
       where relkind = 'r' and relnamespace = current_schema()::regnamespace`,
    );
    const counts = tables.map(({ name }) => `(select count(*)::int from ${name})`);
    const { rows } = await client.query<{ rows: number }>(`select ${counts.join(' + ')} as rows`);
    return { rows: Number(rows[0]?.rows), bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0) };
  } finally {
    await client.end();
  }
}
