/**
 * `node test/faults/expiry.ts` measures what expired rows cost. It makes a steady flow of refresh families, used and
 * live tokens, revocations and spent rows, while the sweeper runs at its own pace. When a million tokens have
 * expired, it compares the tables with fresh copies of their live rows, and the CPU time of sweeping with that of the
 * refreshes that make such tokens. Spent rows are kept for a minute, as in production. The others are kept for
 * `--life` seconds, which is far less than in production (16 minutes for a revocation, weeks for a family), so that
 * expired rows weigh more.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import type { Query } from '../../src/storage/database.ts';
import { startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { buildServer } from '../support/built.ts';
import { cpuSecondsOf } from './cpu.ts';
import { refreshCpuSeconds } from './expiry_refresh.ts';
import { addTokens, type Size, sizes } from './expiry_tables.ts';
import { start } from './processes.ts';

const { values: flags } = parseArgs({
  options: {
    expired: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '5000' },
    life: { type: 'string', default: '160' },
  },
});
const [expired, rate, lifeSeconds] = [Number(flags.expired), Number(flags.rate), Number(flags.life)];
const goals = { ratio: 1.3, share: 0.03 };

await buildServer();
const directory = await mkdtemp(join(tmpdir(), 'cypher-expiry-'));
const cluster = await startEmbeddedPostgres({ dataDir: directory });
try {
  process.exitCode = (await measure(cluster.url)) ? 0 : 1;
} finally {
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
}

async function measure(url: string): Promise<boolean> {
  await migrate(url, join(import.meta.dirname, '../../migrations'));
  const refresh = await refreshCpuSeconds(url);
  // Without the server's time limits.
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const query: Query = async (text, values = []) => (await client.query(text, [...values])).rows;
  const sweeper = start(process.execPath, [join(import.meta.dirname, 'expiry_sweeper.ts'), url], {
    stdio: 'inherit',
  });
  await sleep(1000);
  const before = await cpuOf(sweeper, query);
  const seconds = expired / rate + lifeSeconds;
  const { families, pauseSeconds } = await flow(query, seconds);
  const after = await cpuOf(sweeper, query);
  // To copy what is live takes longer than some of it lives: nothing may go meanwhile.
  const ended = Date.now();
  sweeper.kill('SIGKILL');
  const found = await sizes(query, ended);
  await client.end();

  const live = found.find(({ table }) => table === 'refresh_families')?.live ?? 0;
  const swept = families - live;
  const [own, maintenance] = [after.own - before.own, after.maintenance - before.maintenance];
  const each = (own + maintenance) / swept;
  const ratio = Math.max(...found.map((size) => size.ratio));
  const micro = (time: number) => `${Math.round(time * 1e6)} µs`;
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  console.table(found.map(readable));
  console.log(
    `${swept} tokens expired within ${Math.round(seconds)} s, ${live} are live; added with pauses of up to ${pauseSeconds.toFixed(1)} s (of more than a few the machine was too busy for this rate)`,
  );
  console.log(
    `CPU time: ${micro(each)} to take a token away (${micro(own / swept)} the sweeper, ${micro(maintenance / swept)} vacuum and analyze), ${micro(refresh)} to make one by a refresh`,
  );
  console.log(
    `largest ratio ${ratio.toFixed(2)} (at most ${goals.ratio}), share of sweeping ${percent(each / refresh)} (at most ${percent(goals.share)})`,
  );
  return ratio <= goals.ratio && each / refresh <= goals.share;
}

/** Of the sweeper's process and its connections; and of what it and autovacuum have started and ended. */
async function cpuOf({ pid = 0 }: ChildProcess, query: Query): Promise<{ own: number; maintenance: number }> {
  const backends = await query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = 'sweeper'",
  );
  const pids = [pid, ...backends.map((backend) => backend.pid)];
  const own = await Promise.all(pids.map((each) => cpuSecondsOf(each)));
  const pidFile = await readFile(join(directory, 'postgres/data/postmaster.pid'), 'utf8');
  const maintenance = await cpuSecondsOf(Number.parseInt(pidFile, 10), 'ended children');
  return { own: own.reduce((sum, each) => sum + each, 0), maintenance };
}

/** Adds families of two tokens at the steady rate for so long. Returns how many, and the longest pause between two additions. */
async function flow(query: Query, seconds: number): Promise<{ families: number; pauseSeconds: number }> {
  const begun = performance.now();
  let added = 0;
  let [last, pauseSeconds] = [0, 0];
  for (let at = 0; at < seconds; at = (performance.now() - begun) / 1000) {
    pauseSeconds = Math.max(pauseSeconds, at - last);
    last = at;
    const due = Math.floor((at * rate) / 2);
    if (due > added) await addTokens(query, added, due, lifeSeconds);
    added = due;
    await sleep(200);
  }
  return { families: added, pauseSeconds: Math.max(pauseSeconds, seconds - last) };
}

function readable({ megabytes, fresh, ratio, ...size }: Size) {
  return { ...size, MB: megabytes.toFixed(1), 'fresh MB': fresh.toFixed(1), ratio: ratio.toFixed(2) };
}
