/** One node of a Patroni cluster: a Patroni with its PostgreSQL. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, killTree, signalTree, start } from '../faults/processes.ts';
import type { PatroniPrograms } from './patroni_programs.ts';
import { startProxy, type TcpProxy } from './proxy.ts';

export interface PatroniNode {
  name: string;
  /** Of PostgreSQL, directly. */
  port: number;
  /** Of Patroni's REST interface, which says who the primary is. */
  restPort: number;
  /** kill -9 of Patroni, PostgreSQL and all its backends, as when the machine's power goes. */
  kill(): void;
  /** Starts Patroni again. */
  launch(): void;
  /** SIGSTOP of all of it: nobody hears of it, and it hears of nobody. */
  pause(): void;
  resume(): void;
  /** Its replicas receive nothing more. What is on its way is lost. */
  loseReplicas(): void;
  /** Its replicas can reach it again. */
  regainReplicas(): Promise<void>;
}

export const superuser = { username: 'postgres', password: randomBytes(16).toString('hex') };
/** A primary that is gone is replaced after `ttl` seconds. Patroni's own values are 30, 10 and 10. */
const times = { ttl: 8, loop_wait: 1, retry_timeout: 3 };

interface NodeOptions {
  programs: PatroniPrograms;
  user: { uid: number; gid: number } | undefined;
  directory: string;
  name: string;
  etcd: number;
  synchronous: boolean;
}

export async function createNode({ programs, user, directory, name, etcd, synchronous }: NodeOptions) {
  const home = join(directory, name);
  await mkdir(home, { mode: 0o700 });
  if (user) await chown(home, user.uid, user.gid);
  const [port, restPort] = [await freePort(), await freePort()];
  const proxy: TcpProxy = await startProxy(`tcp://127.0.0.1:${port}`);
  const settings = {
    ...{ scope: 'cypher', name, etcd3: { host: `127.0.0.1:${etcd}` } },
    restapi: { listen: `127.0.0.1:${restPort}`, connect_address: `127.0.0.1:${restPort}` },
    bootstrap: {
      // Without fsync: three servers share one disk here, and what is killed leaves what it has written to the kernel.
      dcs: {
        ...times,
        synchronous_mode: synchronous,
        maximum_lag_on_failover: 2 ** 30,
        postgresql: {
          use_pg_rewind: true,
          use_slots: true,
          parameters: { max_connections: 100, fsync: 'off' },
        },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums', 'no-sync'],
    },
    postgresql: {
      listen: `127.0.0.1:${port}`,
      connect_address: `127.0.0.1:${new URL(proxy.url).port}`,
      data_dir: join(home, 'data'),
      bin_dir: programs.postgresDirectory,
      pgpass: join(home, 'pgpass'),
      authentication: { superuser, replication: superuser, rewind: superuser },
      basebackup: [{ checkpoint: 'fast' }, 'no-sync'],
      parameters: { unix_socket_directories: '', wal_retrieve_retry_interval: '500ms' },
      pg_hba: ['host all all 127.0.0.1/32 scram-sha-256', 'host replication all 127.0.0.1/32 scram-sha-256'],
    },
  };
  // JSON is YAML.
  const config = join(home, 'patroni.yml');
  await writeFile(config, JSON.stringify(settings, null, 2), { mode: 0o600 });
  if (user) await chown(config, user.uid, user.gid);

  let child: ChildProcess | undefined;
  const patroni = () => (child?.exitCode === null && child.signalCode === null ? child.pid : undefined);
  const pids = () => [patroni(), postmasterIn(join(home, 'data'))].filter((pid) => pid !== undefined);
  const node: PatroniNode = {
    ...{ name, port, restPort },
    kill() {
      for (const pid of pids()) killTree(pid);
    },
    launch() {
      const log = openSync(join(directory, `${name}.log`), 'a');
      const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home };
      child = start(programs.patroni, [config], { cwd: home, env, stdio: ['ignore', log, log], ...user });
      child.on('error', () => {});
      closeSync(log);
    },
    pause: () => {
      for (const pid of pids()) signalTree(pid, 'SIGSTOP');
    },
    resume: () => {
      for (const pid of pids()) signalTree(pid, 'SIGCONT');
    },
    loseReplicas: proxy.hang,
    regainReplicas: proxy.restore,
  };
  // Patroni detaches PostgreSQL from itself, so it would outlive the harness.
  process.on('exit', node.kill);
  const close = async () => {
    process.off('exit', node.kill);
    node.kill();
    await proxy.close();
  };
  return { node, close };
}

/**
 * The pid of the server on this data directory, if it runs. A server that was killed leaves its file behind, and another
 * process may have got its pid since: a server names its directory on its command line.
 */
function postmasterIn(dataDirectory: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8'), 10);
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dataDirectory) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** The user that PostgreSQL runs as if we are root. */
export async function userOfPostgres(): Promise<{ uid: number; gid: number }> {
  const passwd = await readFile('/etc/passwd', 'utf8');
  const entry = /^postgres:[^:]*:(\d+):(\d+)/m.exec(passwd) ?? /^nobody:[^:]*:(\d+):(\d+)/m.exec(passwd);
  if (!entry)
    throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody here.');
  return { uid: Number(entry[1]), gid: Number(entry[2]) };
}
