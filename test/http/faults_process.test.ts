/** The server killed with a rotation in flight, and answers that are lost on their way: the retry works, the family lives. */
import { once } from 'node:events';
import { request as send } from 'node:http';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import type { BehindProxies } from '../support/behind_proxies.ts';
import { asApp, isAlive, type TokenAnswer } from '../support/person.ts';
import { type Provider, startBehind } from '../support/provider_process.ts';

const { spa } = apps;

let at: BehindProxies;
let provider: Provider;
let first: TokenAnswer;
beforeEach(async () => {
  ({ at, provider, first } = await startBehind(spa));
});
afterEach(() => at.close());

const refreshForm = (token: string) => ({ grant_type: 'refresh_token', refresh_token: token });
const refresh = (on: { url: string }, token: string) => asApp(on, spa, refreshForm(token));

/** The retry has the one successor, which works, as do its access tokens. */
async function expectFamilyLives(used: TokenAnswer): Promise<void> {
  const retried = await refresh(at.other, used.refresh_token);
  expect([retried.status, retried.body.error]).toEqual([200, undefined]);
  expect(await rotated()).toBe(1);
  const next = await refresh(at.other, retried.body.refresh_token);
  expect(next.status).toBe(200);
  expect(await isAlive(at.other, next.body.access_token)).toBe(true);
}

/** Locks the token, so that its rotation waits in PostgreSQL until `release`. */
async function holdRotation() {
  const holder = new pg.Client({ connectionString: at.direct.databaseUrl });
  await holder.connect();
  await holder.query('begin; select 1 from refresh_families for update');
  return {
    waits: () =>
      expect
        .poll(async () => {
          const { rows } = await holder.query(
            "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
          );
          return rows.length;
        })
        .toBe(1),
    async release() {
      await holder.query('commit');
      await holder.end();
    },
  };
}
const rotated = async (): Promise<number> =>
  (await at.other.database.query('select 1 from refresh_families where generation = 1')).length;

test.each([
  ['after the token was marked used, before the server knew', true],
  ['while marking it', false],
])(
  'Faults: the server killed between using and issuing (%s): the retry works and the family lives',
  async (_, used) => {
    const rotation = await holdRotation();
    const cutShort = refresh(provider, first.refresh_token).then(
      ({ status }) => status,
      () => 'no answer',
    );
    await rotation.waits();
    at.postgres.loseAnswers();
    if (used) {
      await rotation.release();
      await expect.poll(rotated).toBe(1);
      await provider.signal('SIGKILL');
    } else {
      await provider.signal('SIGKILL');
      await rotation.release();
    }
    expect(await cutShort).toBe('no answer');
    await expectFamilyLives(first);
  },
);

test('Faults: an answer lost between the server and the app: the retry works and the family lives', async () => {
  const lost = send(`${provider.url}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });
  lost.end(new URLSearchParams({ client_id: spa.client_id, ...refreshForm(first.refresh_token) }).toString());
  const [answer] = await once(lost, 'response');
  expect(answer.statusCode).toBe(200);
  lost.destroy();
  await expectFamilyLives(first);
});
