/** A real PgBouncer in transaction mode, in front of one PostgreSQL. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { start } from '../faults/processes.ts';
import { freePorts } from './npm_run.ts';
import { findPgBouncer } from './programs.ts';

export interface PgBouncer {
  /** The same URL, through PgBouncer. */
  url: string;
  signal(name: NodeJS.Signals): void;
  /** Starts it again after a SIGKILL. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** `settings`: lines of the section [pgbouncer], in addition to ours or instead of them. */
export async function startPgBouncer(
  databaseUrl: string,
  settings: Record<string, string> = {},
): Promise<PgBouncer> {
  const program = findPgBouncer();
  if (!program) throw new Error('there is no pgbouncer');
  const behind = new URL(databaseUrl);
  const directory = await mkdtemp(join(tmpdir(), 'cypher-pgbouncer-'));
  const port = await freePorts();
  const given = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: join(directory, 'users'),
    logfile: join(directory, 'log'),
    pool_mode: 'transaction',
    default_pool_size: '5',
    max_client_conn: '500',
    ...settings,
  };
  const lines = Object.entries(given).map(([name, value]) => `${name} = ${value}`);
  const config = join(directory, 'pgbouncer.ini');
  await writeFile(join(directory, 'users'), `"${behind.username}" "${behind.password}"\n`);
  await writeFile(
    config,
    ['[databases]', `* = host=${behind.hostname} port=${behind.port}`, '[pgbouncer]', ...lines, ''].join(
      '\n',
    ),
  );
  // It refuses to run as root, and takes another user itself.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) await chmod(directory, 0o777);
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  const answers = async () => {
    const client = new pg.Client({ connectionString: url.href });
    client.on('error', () => {});
    await client.connect();
    await client.end();
  };
  let child: ChildProcess;
  async function launch(): Promise<void> {
    child = start(program as string, ['-q', ...(isRoot ? ['-u', 'nobody'] : []), config], {
      stdio: 'ignore',
    });
    for (let tries = 0; ; tries++) {
      if (child.exitCode !== null)
        throw new Error(`pgbouncer ended: ${await readFile(given.logfile, 'utf8').catch(() => '')}`);
      const failure = await answers().then(
        () => undefined,
        (error: Error) => error,
      );
      if (!failure) break;
      if (tries > 600) throw failure;
      await sleep(50);
    }
  }
  await launch();
  return {
    url: url.href,
    signal: (name) => void child.kill(name),
    async restart() {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await launch();
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        // On SIGTERM, PgBouncer 1.23 and later wait for their clients to disconnect.
        child.kill('SIGKILL');
        await ended;
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}
