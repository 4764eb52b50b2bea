/** Row "Faults", disk full: PostgreSQL on a file system of its own that has no byte left. Needs root, to mount one. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type request from 'supertest';
import { afterEach, expect, test } from 'vitest';
import { type Postgres, startPostgres } from '../faults/postgres.ts';
import { apps } from '../support/apps.ts';
import { within } from '../support/behind_proxies.ts';
import { createRedisDatabase, hastyTimeouts } from '../support/databases.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { spa, web } = apps;
const mayMount = process.platform === 'linux' && process.getuid?.() === 0;

let directory = '';
let postgres: Postgres | undefined;
let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  await postgres?.stop();
  if (directory) execFileSync('umount', ['--lazy', directory]);
  if (directory) await rm(directory, { recursive: true, force: true });
});

/** Writes until nothing more fits. */
async function fill(file: string): Promise<void> {
  for (const size of [2 ** 20, 2 ** 12, 1]) {
    const chunk = Buffer.alloc(size);
    try {
      for (;;) await writeFile(file, chunk, { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

test.skipIf(!mayMount)(
  'Faults: disk full: 503, nothing acknowledged is lost, and it heals by itself',
  async () => {
    directory = await mkdtemp(join(tmpdir(), 'cypher-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=250m', 'tmpfs', directory]);
    await chmod(directory, 0o755);
    postgres = await startPostgres(directory);
    const running = await startServer({
      clients: Object.values(apps),
      storage: { databaseUrl: postgres.url, redisUrl: await createRedisDatabase() },
      timeouts: hastyTimeouts,
    });
    server = running;
    const refresh = (token: string) =>
      asApp(running, spa, { grant_type: 'refresh_token', refresh_token: token }) as Promise<request.Response>;
    let { refresh_token: token } = await createPerson(running, 'ada').tokensFor(spa);

    await fill(join(directory, 'full'));
    // A rotation needs no room of its own. Pushed requests need some, until there is none.
    const pushed = {
      client_id: web.client_id,
      response_type: 'code',
      redirect_uri: web.redirect_uri,
      scope: 'openid',
      state: 'x'.repeat(200),
      code_challenge: 'a'.repeat(43),
      code_challenge_method: 'S256',
    };
    let refused: request.Response | undefined;
    for (let count = 0; count < 3000 && !refused; count++) {
      const answer = await within(1300, refresh(token));
      if (answer.status === 200) token = answer.body.refresh_token;
      else refused = answer;
      const kept = await within(1300, asApp(running, web, pushed, '/request'));
      if (kept.status !== 201) refused = kept;
    }
    expect([refused?.status, refused?.body.error]).toEqual([503, 'temporarily_unavailable']);
    expect(Number(refused?.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused?.text).not.toMatch(/space|disk|extend/i);

    await rm(join(directory, 'full'));
    // Where not even its log could be written it has ended; a service manager would start it again.
    await postgres.query('select 1').catch(() => postgres?.restart());
    const again = async () => {
      const answer = await refresh(token);
      if (answer.status === 200) token = answer.body.refresh_token;
      return answer.status;
    };
    await expect.poll(again).toBe(200);
    expect((await refresh(token)).status).toBe(200);
  },
);
