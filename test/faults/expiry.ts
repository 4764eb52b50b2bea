/**
 * `node test/faults/expiry.ts`: what expired rows cost. A steady flow of refresh families, used and live tokens, revocations
 * and spent rows, each of which lives for a while and is swept: when a million tokens have expired, the tables are compared
 * with fresh copies of what is live in them, and the CPU time of sweeping with that of the rotations that made the tokens.
 * Time runs faster than in production, for all alike: an access token's revocation, 16 minutes there, lives for `--life`
 * seconds, and sweeps and autovacuum come as many times oftener. Refresh tokens, days there, live no longer than that.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createLog } from '../../src/lib/log.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { createSweeper, sweepEveryMs } from '../../src/storage/sweeper.ts';
import { cpuSecondsOf } from './cpu.ts';
import { addTokens, rotationCpuSeconds, sizes } from './expiry_tables.ts';

const { values: flags } = parseArgs({
  options: {
    expired: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '5000' },
    life: { type: 'string', default: '48' },
  },
});
const [expired, rate, lifeSeconds] = [Number(flags.expired), Number(flags.rate), Number(flags.life)];
const haste = 960 / lifeSeconds;
const tickMs = 200;

const directory = await mkdtemp(join(tmpdir(), 'cypher-expiry-'));
const naptime = String(Math.max(1, Math.round(60 / haste)));
const cluster = await startEmbeddedPostgres({
  dataDir: directory,
  settings: { autovacuum_naptime: naptime, autovacuum_vacuum_cost_delay: '0' },
});
const open = () => openDatabase(cluster.url, { onIdleError: () => {} });
const [flow, swept] = [open(), open()];
try {
  await migrate(cluster.url, join(import.meta.dirname, '../../migrations'));
  const data = join(directory, 'postgres/data/postmaster.pid');
  const postmaster = Number.parseInt(await readFile(data, 'utf8'), 10);
  const rotation = await rotationCpuSeconds(flow);

  let atSweeps = 0;
  const [{ pid: sweeperBackend } = { pid: 0 }] = await swept.query<{ pid: number }>(
    'select pg_backend_pid() pid',
  );
  const sweeper = createSweeper(swept, createLog('warn'), Date.now);
  const timed = {
    ...sweeper,
    async sweep() {
      const before = process.cpuUsage();
      const rows = await sweeper.sweep();
      const { user, system } = process.cpuUsage(before);
      atSweeps += (user + system) / 1e6;
      return rows;
    },
  };
  void timed;
  sweeper.start(sweepEveryMs / haste);
  const before = {
    vacuum: await cpuSecondsOf(postmaster, 'ended children'),
    sweep: await cpuSecondsOf(sweeperBackend),
  };

  const begun = Date.now();
  const wanted = expired / rate + lifeSeconds;
  let added = 0;
  for (let seconds = 0; seconds < wanted; seconds = (Date.now() - begun) / 1000) {
    const due = Math.floor((Math.min(seconds, wanted) * rate) / 2);
    if (due > added) await addTokens(flow, added, due, lifeSeconds);
    added = due;
    await sleep(tickMs);
  }
  console.log(`${added * 2} tokens in ${Math.round((Date.now() - begun) / 1000)} s`);
  const report = await sizes(flow);
  console.table(report);
  const after = {
    vacuum: await cpuSecondsOf(postmaster, 'ended children'),
    sweep: await cpuSecondsOf(sweeperBackend),
  };
  console.log({ before, after, rotation });
  sweeper.stop();
} finally {
  await Promise.all([flow.close(), swept.close()]);
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
}
