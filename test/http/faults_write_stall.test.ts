/**
 * PostgreSQL that answers reads and confirms no write, as when its only synchronous standby is gone: nobody is signed out for
 * it, and a thief is still found.
 */
import { expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { createRedisDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp, tokensOfSomebody } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';

const { spa } = apps;
const leewaySeconds = 2;

/** A server as it ships, which goes by PostgreSQL's own clock. */
async function start() {
  const cluster = await startCluster();
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  const settings = {
    ISSUER: url,
    PORT: String(port),
    DATABASE_URL: cluster.url,
    REDIS_URL: await createRedisDatabase(),
    REFRESH_LEEWAY_SECONDS: String(leewaySeconds),
  };
  const process = await startProcess(settings);
  await process.up();
  return { cluster, url, settings, process };
}
type Server = Awaited<ReturnType<typeof start>>;

const tokens = ({ url }: Server) => tokensOfSomebody(url, spa);
const refresh = ({ url }: Pick<Server, 'url'>, token: string) =>
  asApp({ url }, spa, { grant_type: 'refresh_token', refresh_token: token });
const outcome = ({ status, body }: Awaited<ReturnType<typeof refresh>>) => [status, body.error];
const outages = async ({ cluster }: Server) =>
  (await cluster.admin<object>('select * from outages', 'cypher')).length;
const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000));

const confirmedBy = async (cluster: Cluster, standbys: string) => {
  await cluster.admin(`alter system set synchronous_standby_names = '${standbys}'`);
  await cluster.admin('select pg_reload_conf()');
};

test('Faults: writes that stall for longer than the leeway sign nobody out, and a thief is found afterwards', async () => {
  const server = await start();
  const people = [await tokens(server), await tokens(server), await tokens(server)];
  const [ada] = people;
  await confirmedBy(server.cluster, 'nobody');
  const during = await Promise.all(people.map(({ refresh_token }) => refresh(server, refresh_token)));
  for (const answer of during) expect(outcome(answer)).toEqual([503, 'temporarily_unavailable']);
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
  // What was answered with 503 is committed all the same. Its leeway passes, and a repetition is no theft meanwhile.
  await seconds(2 * leewaySeconds);
  expect([200, 503]).toContain((await refresh(server, String(ada?.refresh_token))).status);
  await confirmedBy(server.cluster, '');
  const after = [];
  for (const { refresh_token } of people) {
    await expect.poll(async () => (await refresh(server, refresh_token)).status).not.toBe(503);
    after.push(await refresh(server, refresh_token));
  }
  for (const answer of after) expect(outcome(answer)).toEqual([200, undefined]);
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  expect(await outages(server)).toBeGreaterThan(0);

  // Once it is over for as long as it lasted, the same repetition is a theft, and ends its family alone.
  const [, , stolen] = people;
  await expect
    .poll(async () => outcome(await refresh(server, String(stolen?.refresh_token))), { interval: 3000 })
    .toEqual([400, 'invalid_grant']);
  const [mine, , theirs] = after;
  expect(outcome(await refresh(server, theirs?.body.refresh_token))).toEqual([400, 'invalid_grant']);
  expect(outcome(await refresh(server, mine?.body.refresh_token))).toEqual([200, undefined]);
});

test('Faults: an instance is killed after it has rotated: the app repeats at the next one, however late that starts', async () => {
  const server = await start();
  const dora = await tokens(server);
  const lost = await refresh(server, dora.refresh_token);
  expect(lost.status).toBe(200);
  await server.process.signal('SIGKILL');
  await seconds(4 * leewaySeconds);
  const next = await startProcess(server.settings);
  await next.up();
  const repeated = await refresh(server, dora.refresh_token);
  expect(outcome(repeated)).toEqual([200, undefined]);
  expect(repeated.body.refresh_token).toBe(lost.body.refresh_token);
});

test('in normal operation the leeway is the leeway: a later repetition is a theft', async () => {
  const server = await start();
  const eve = await tokens(server);
  const next = await refresh(server, eve.refresh_token);
  await seconds(leewaySeconds + 1);
  expect(outcome(await refresh(server, eve.refresh_token))).toEqual([400, 'invalid_grant']);
  expect(outcome(await refresh(server, next.body.refresh_token))).toEqual([400, 'invalid_grant']);
  expect(await outages(server)).toBe(0);
});
