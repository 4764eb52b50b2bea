/**
 * The deployment that a run tests: two provider processes that share a storage and have the same settings, as in
 * production. Everything is on free ports of loopback and in one temporary directory.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apps } from '../support/apps.ts';
import { built, sources } from '../support/built.ts';
import { reports, reportsApi, tv } from './apps.ts';
import { createHistory, type History } from './history.ts';
import { freePort, start } from './processes.ts';
import { type ProviderProcess, preload, startProvider } from './provider.ts';
import type { StartStorage, Storage } from './storage.ts';

export interface Deployment {
  storage: Storage;
  providers: ProviderProcess[];
  history: History;
  issuer: string;
  directory: string;
  /** Runs a command of `npx cypher` beside the providers. False where it failed: its database may be away. */
  cypher(...words: string[]): Promise<boolean>;
  /** Ends the processes. The directory stays where `keep` says so: it holds the history and the logs. */
  stop(keep: boolean): Promise<void>;
}

const root = join(import.meta.dirname, '../..');
const { web, intranet, api } = apps;

/** Starts all of it. `broken` names a broken build, see mutations.ts. */
export async function deploy(startStorage: StartStorage, broken?: string): Promise<Deployment> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-faults-'));
  const history = createHistory(join(directory, 'history.jsonl'));
  const storage = await startStorage(directory, history.now);

  const clientsFile = join(directory, 'clients.json');
  const entries = [web, intranet, api, tv, reports].map(({ redirect_uri: _, ...client }) => client);
  await writeFile(clientsFile, JSON.stringify(entries));
  const resourcesFile = join(directory, 'resources.json');
  await writeFile(resourcesFile, JSON.stringify([reportsApi]));
  const ports = [await freePort(), await freePort()];
  const issuer = `http://localhost:${ports[0]}`;
  const env = {
    ISSUER: issuer,
    DATABASE_URL: storage.databaseUrl,
    ...(storage.redisUrl !== undefined && { REDIS_URL: storage.redisUrl }),
    ...storage.settings,
    CLIENTS_FILE: clientsFile,
    RESOURCES_FILE: resourcesFile,
    KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
    // The whole load comes from one address, and attacks on an account are part of it.
    LIMIT_ADDRESS_PER_MINUTE: '1000000',
    LIMIT_ACCOUNT_FAILURES: '1000',
    ...(broken ? { FAULTS_BROKEN: broken } : {}),
  };
  // A broken build is an edit of the sources while they are loaded.
  const program = broken ? sources : built;
  const providers = await Promise.all(
    ports.map((port, number) =>
      startProvider({
        number,
        port,
        env,
        history,
        server: program.server,
        logFile: join(directory, `provider-${number}.log`),
      }),
    ),
  );
  return {
    storage,
    providers,
    history,
    issuer,
    directory,
    async cypher(...words) {
      const command = start(process.execPath, ['--import', preload, program.commands, ...words], {
        cwd: root,
        env: { PATH: process.env.PATH, ...env },
        stdio: 'ignore',
      });
      return new Promise((resolve) => command.once('exit', (code) => resolve(code === 0)));
    },
    async stop(keep) {
      await Promise.all(providers.map((provider) => provider.stop()));
      await storage.stop();
      await history.close();
      if (!keep) await rm(directory, { recursive: true, force: true });
    },
  };
}
