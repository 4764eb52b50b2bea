/**
 * Runs `npm start` as a child process on the storage of a test server, with its issuer and keys: another instance,
 * which can be killed.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { apps } from './apps.ts';
import { startBehindProxies } from './behind_proxies.ts';
import { freePorts, npmRun } from './npm_run.ts';
import { type App, tokensOfSomebody } from './person.ts';
import { kek } from './server.ts';

/** Begins to start it, with a DATA_DIR of its own; `up` resolves when it answers. `source`: where another version is. */
export async function startProcess(settings: Record<string, string>, source?: string) {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-process-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const clients = join(directory, 'clients.json');
  await writeFile(clients, JSON.stringify(Object.values(apps)));
  const port = Number(settings.PORT ?? (await freePorts()));
  const url = `http://localhost:${port}`;
  const given = {
    PORT: String(port),
    DATA_DIR: directory,
    CLIENTS_FILE: clients,
    KEY_ENCRYPTION_KEY: kek.toString('base64url'),
    LIMIT_ADDRESS_PER_MINUTE: '100000',
    ...settings,
  };
  const child = npmRun('start', given, source);
  const answers = () =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  return { ...child, url, port, clientsFile: clients, up: () => child.until(answers) };
}

export type Provider = Awaited<ReturnType<typeof startProcess>>;

/**
 * A process whose way to PostgreSQL goes through the proxy of `at`, whose `other` runs beside it, and somebody's first
 * tokens. The process has the machine's clock: so have the servers beside it, for the login does not turn theirs.
 */
export async function startBehind(app: App) {
  const at = await startBehindProxies({ clients: Object.values(apps) });
  const first = await tokensOfSomebody(at.server.url, app);
  const provider = await startProcess({
    ISSUER: at.server.url,
    DATABASE_URL: at.postgres.url,
    REDIS_URL: at.direct.redisUrl,
  });
  await provider.up();
  return { at, provider, first };
}
