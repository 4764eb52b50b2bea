/** Measures what a refresh costs the server and PostgreSQL: over HTTP, one after another. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { apps } from '../support/apps.ts';
import { built } from '../support/built.ts';
import { createPerson } from '../support/person.ts';
import { cpuSecondsOf } from './cpu.ts';
import { freePort, killTree, start, until } from './processes.ts';

const root = join(import.meta.dirname, '../..');
const { spa } = apps;

/** CPU seconds for each refresh, of the provider's process and its connections together. */
export async function refreshCpuSeconds(databaseUrl: string): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-refresh-'));
  const clients = join(directory, 'clients.json');
  await writeFile(clients, JSON.stringify([spa]));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const provider = start(process.execPath, [built.server], {
    cwd: root,
    env: {
      ...{ PATH: process.env.PATH, PORT: String(port), DATABASE_URL: databaseUrl, CLIENTS_FILE: clients },
      ...{
        DATA_DIR: directory,
        KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
        LOG_LEVEL: 'silent',
      },
    },
    stdio: 'inherit',
  });
  const pid = provider.pid ?? 0;
  const client = new pg.Client({ connectionString: databaseUrl });
  try {
    await until('the provider', 30_000, () => fetch(`${url}/health/ready`));
    await client.connect();
    const machineClock = { now: Date.now, advance: () => {} };
    let { refresh_token: token } = await createPerson({ url, clock: machineClock }, 'ada').tokensFor(spa);
    const refresh = async (times: number) => {
      for (let count = 0; count < times; count++) {
        const form = { grant_type: 'refresh_token', client_id: spa.client_id, refresh_token: token };
        const answer = await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(form) });
        token = ((await answer.json()) as { refresh_token: string }).refresh_token;
      }
    };
    const used = async () => {
      const { rows } = await client.query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name = 'cypher'",
      );
      const seconds = await Promise.all(
        [pid, ...rows.map((row) => row.pid)].map((each) => cpuSecondsOf(each)),
      );
      return seconds.reduce((sum, each) => sum + each, 0);
    };
    // Until the code is compiled.
    await refresh(2000);
    const before = await used();
    await refresh(2000);
    return ((await used()) - before) / 2000;
  } finally {
    await client.end();
    killTree(pid);
    await rm(directory, { recursive: true, force: true });
  }
}
