/** A real PgBouncer in transaction mode, in front of one PostgreSQL. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePorts } from './npm_run.ts';
import { findPgBouncer } from './programs.ts';

export interface PgBouncer {
  /** The same URL, through PgBouncer. */
  url: string;
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
  const child = spawn(program, ['-q', ...(isRoot ? ['-u', 'nobody'] : []), config], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  const answers = async () => {
    const client = new pg.Client({ connectionString: url.href });
    client.on('error', () => {});
    await client.connect();
    await client.end();
  };
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
  return {
    url: url.href,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
