/**
 * `node test/faults/expiry.ts`: what expired rows cost. A steady flow of refresh families, used and live tokens, revocations
 * and spent rows, each of which lives for a while and is swept: when a million tokens have expired, the tables are compared
 * with fresh copies of what is live in them, and the CPU time of sweeping with that of the rotations that made the tokens.
 * Time runs faster than in production, for all alike: a revocation, 16 minutes there, lives for `--life` seconds, and sweeps
 * and autovacuum come as many times oftener. Refresh tokens, days there, live no longer than that here.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { openDatabase, type Query } from '../../src/storage/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { sweepEveryMs } from '../../src/storage/sweeper.ts';
import { cpuSecondsOf } from './cpu.ts';
import { addTokens, rotationCpuSeconds, type Size, sizes } from './expiry_tables.ts';
import { start } from './processes.ts';

const { values: flags } = parseArgs({
  options: {
    expired: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '5000' },
    life: { type: 'string', default: '60' },
  },
});
const [expired, rate, lifeSeconds] = [Number(flags.expired), Number(flags.rate), Number(flags.life)];
const productionLifeSeconds = 960;
const haste = productionLifeSeconds / lifeSeconds;
const tickMs = 200;
const goals = { ratio: 1.3, share: 0.03 };

const directory = await mkdtemp(join(tmpdir(), 'cypher-expiry-'));
// Autovacuum cannot look oftener than once a second.
const naptime = String(Math.max(1, Math.round(60 / haste)));
const cluster = await startEmbeddedPostgres({
  dataDir: directory,
  settings: { autovacuum_naptime: naptime, autovacuum_vacuum_cost_delay: '0' },
});
let sweeper: ChildProcess | undefined;
try {
  const met = await measure(cluster);
  process.exitCode = met ? 0 : 1;
} finally {
  sweeper?.kill('SIGKILL');
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
}

async function measure({ url }: EmbeddedPostgres): Promise<boolean> {
  await migrate(url, join(import.meta.dirname, '../../migrations'));
  const database = openDatabase(url, { onIdleError: () => {} });
  const rotation = await rotationCpuSeconds(database);
  await database.close();
  // Without the server's time limits.
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const query: Query = async (text, values = []) => (await client.query(text, [...values])).rows;
  const pidFile = await readFile(join(directory, 'postgres/data/postmaster.pid'), 'utf8');
  const postmaster = Number.parseInt(pidFile, 10);
  sweeper = start(
    process.execPath,
    [join(import.meta.dirname, 'expiry_sweeper.ts'), url, String(sweepEveryMs / haste)],
    { stdio: 'inherit' },
  );
  /** Of the sweeper's process, its connections, and of what it and autovacuum have started and ended. */
  const sweeping = async () => {
    const backends = await query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = 'sweeper'",
    );
    const own = await Promise.all(
      [sweeper?.pid ?? 0, ...backends.map(({ pid }) => pid)].map((pid) => cpuSecondsOf(pid)),
    );
    return [...own, await cpuSecondsOf(postmaster, 'ended children')].reduce(
      (sum, seconds) => sum + seconds,
      0,
    );
  };
  await sleep(1000);
  const before = await sweeping();
  const seconds = expired / rate + lifeSeconds;
  const families = await flow(query, seconds);
  const after = await sweeping();
  sweeper.kill('SIGKILL');
  const found = await sizes(query);
  const live = found.find(({ table }) => table === 'refresh_tokens')?.live ?? 0;
  await client.end();

  const swept = families * 2 - live;
  const each = (after - before) / swept;
  console.table(found.map(readable));
  const ratio = Math.max(...found.map((size) => size.ratio));
  console.log(
    `${swept} tokens expired within ${Math.round(seconds)} s, ${live} live; time ${haste.toFixed(0)} times as fast`,
  );
  console.log(
    `${(each * 1e6).toFixed(0)} µs of CPU to take one away; ${(rotation * 1e6).toFixed(0)} µs to rotate one`,
  );
  console.log(
    `largest ratio ${ratio.toFixed(2)} (at most ${goals.ratio}); share ${((each / rotation) * 100).toFixed(1)} % (at most ${goals.share * 100} %)`,
  );
  return ratio <= goals.ratio && each / rotation <= goals.share;
}

/** Adds families of two tokens at the steady rate for so long. Returns how many. */
async function flow(query: Query, seconds: number): Promise<number> {
  const begun = performance.now();
  let added = 0;
  for (let at = 0; at < seconds; at = (performance.now() - begun) / 1000) {
    const due = Math.floor((at * rate) / 2);
    if (due > added) await addTokens(query, added, due, lifeSeconds);
    added = due;
    await sleep(tickMs);
  }
  return added;
}

function readable({ megabytes, fresh, ratio, ...size }: Size) {
  return { ...size, MB: megabytes.toFixed(1), 'fresh MB': fresh.toFixed(1), ratio: ratio.toFixed(2) };
}
