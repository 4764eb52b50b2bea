/**
 * Redis as operators run it, on loopback: a single server, a primary with a replica behind three sentinels, a cluster
 * of three. All with TLS, passwords and an ACL user that may do no more than Cypher needs.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { start as startProcess } from '../faults/processes.ts';
import { type Certificates, createCertificates } from '../support/certificates.ts';
import { freePorts } from '../support/npm_run.ts';
import { findOnPath } from '../support/programs.ts';

/** How the administrator connects. */
interface Access {
  password?: string;
  tls?: ConnectionOptions;
  enableReadyCheck?: boolean;
}

/** Undefined where there is no Redis 7: the tests that start servers of their own are skipped. */
export const redisProgram = findRedis();
if (!redisProgram)
  console.warn('The tests of Redis topologies are skipped: there is no redis-server 7 or later on PATH.');

function findRedis(): string | undefined {
  const program = findOnPath('redis-server');
  const [, major] = program ? (/v=(\d+)/.exec(String(execFileSync(program, ['--version']))) ?? []) : [];
  return Number(major) >= 7 ? program : undefined;
}

/** As docs/operate/high-availability.md has it. */
export const leastRights =
  '~cypher:* resetchannels -@all +set +get +eval +evalsha +incr +pttl +pexpire +info +select +asking +cluster|slots +cluster|info';
export const user = { name: 'cypher', password: 'p@ss:w/rd+1' };
export const userInUrl = `${user.name}:${encodeURIComponent(user.password)}`;
const administrator = 'an-administrators-password';

export interface RedisServer {
  port: number;
  /** Runs a command as the administrator, again until the server answers. */
  ask<T>(command: (client: Redis) => Promise<T>): Promise<T>;
  /** kill -9 */
  kill(): Promise<void>;
  /** SIGSTOP: it accepts connections and answers nothing. */
  pause(): void;
  /** SIGCONT */
  resume(): void;
  /** Starts it again, on the same port, with what its configuration file says now. */
  restart(): Promise<void>;
}

export interface RedisServers {
  certificates: Certificates;
  /** The settings of Cypher beside REDIS_URL. */
  settings: { REDIS_CA: string; REDIS_CERTIFICATE: string; REDIS_KEY: string };
  /** A server with TLS. `lines` are added to its configuration. */
  start(...lines: string[]): Promise<RedisServer>;
  /** A server without TLS, and without passwords. */
  startPlain(...lines: string[]): Promise<RedisServer>;
  /** Three sentinels that watch `primary` under the name `main`. */
  startSentinels(primary: RedisServer): Promise<RedisServer[]>;
  /** Three servers that share all slots, each with a replica if that is asked for: the last three. */
  startCluster(options?: { replicas: boolean }): Promise<RedisServer[]>;
  close(): Promise<void>;
}

export async function createRedisServers(): Promise<RedisServers> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-redis-'));
  const children = new Set<ChildProcess>();
  const certificates = await createCertificates();
  const names = 'subjectAltName=IP:127.0.0.1,DNS:localhost';
  const [ofServers, ofCypher] = [
    await certificates.issue('/CN=redis', names),
    await certificates.issue('/CN=cypher'),
  ];
  const files = {
    'ca.pem': certificates.authority.pem,
    'redis.pem': ofServers.pem,
    'redis.key': ofServers.key,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const tls = [
    ...[`tls-ca-cert-file ${directory}/ca.pem`, `tls-cert-file ${directory}/redis.pem`],
    ...[`tls-key-file ${directory}/redis.key`, 'tls-auth-clients yes', 'tls-replication yes', 'port 0'],
  ];
  const withTls: Access = {
    password: administrator,
    tls: { ca: certificates.authority.pem, cert: ofCypher.pem, key: ofCypher.key },
  };
  const protectedBy = [
    ...[`requirepass ${administrator}`, `masterauth ${administrator}`],
    `user ${user.name} on >${user.password} ${leastRights}`,
  ];
  const freePort = () => freePorts();

  async function launch(port: number, lines: string[], flags: string[], options: Access) {
    const config = join(directory, `${port}.conf`);
    const usual = ['bind 127.0.0.1', `dir ${directory}`, 'daemonize no', `pidfile ${directory}/${port}.pid`];
    await writeFile(config, `${[...usual, ...lines].join('\n')}\n`);
    let child: ChildProcess;
    const ask: RedisServer['ask'] = async (command) => {
      for (let tries = 0; ; tries++) {
        const client = new Redis({ port, ...options, lazyConnect: true, retryStrategy: () => null });
        let failure: Error | undefined;
        client.on('error', (error) => {
          failure ??= error;
        });
        try {
          await client.connect();
          return await command(client);
        } catch (error) {
          if (tries === 3000) throw failure ?? error;
          await sleep(20);
        } finally {
          client.disconnect();
        }
      }
    };
    const restart = async () => {
      child = startProcess(redisProgram as string, [config, ...flags], { stdio: 'ignore' });
      children.add(child);
      await ask((client) => client.ping());
    };
    const server: RedisServer = {
      port,
      ask,
      restart,
      pause: () => void child.kill('SIGSTOP'),
      resume: () => void child.kill('SIGCONT'),
      async kill() {
        children.delete(child);
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      },
    };
    await restart();
    return server;
  }

  const data = (port: number) => ['save ""', 'appendonly no', `dbfilename ${port}.rdb`];
  async function start(...lines: string[]): Promise<RedisServer> {
    const port = await freePort();
    return launch(port, [...data(port), `tls-port ${port}`, ...tls, ...protectedBy, ...lines], [], withTls);
  }
  return {
    certificates,
    settings: {
      REDIS_CA: certificates.authority.pem,
      REDIS_CERTIFICATE: ofCypher.pem,
      REDIS_KEY: ofCypher.key,
    },
    start,
    async startPlain(...lines) {
      const port = await freePort();
      return launch(port, [...data(port), `port ${port}`, ...lines], [], {});
    },
    async startSentinels(primary) {
      const sentinels: RedisServer[] = [];
      for (let n = 0; n < 3; n++) {
        const port = await freePort();
        const lines = [
          ...[`tls-port ${port}`, ...tls, `requirepass ${administrator}`],
          `sentinel sentinel-pass ${administrator}`,
          `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
          `sentinel auth-pass main ${administrator}`,
          ...['sentinel down-after-milliseconds main 2000', 'sentinel failover-timeout main 5000'],
        ];
        sentinels.push(await launch(port, lines, ['--sentinel'], { ...withTls, enableReadyCheck: false }));
      }
      return sentinels;
    },
    async startCluster({ replicas } = { replicas: false }) {
      const nodes: RedisServer[] = [];
      for (let n = 0; n < (replicas ? 6 : 3); n++) {
        const cluster = ['cluster-enabled yes', `cluster-config-file nodes-${n}.conf`, 'tls-cluster yes'];
        const bus = `cluster-port ${await freePort()}`;
        nodes.push(await start(...cluster, bus, 'cluster-node-timeout 2000'));
      }
      await joinNodes(nodes);
      return nodes;
    },
    async close() {
      for (const child of children) child.kill('SIGKILL');
      await certificates.close();
      await rm(directory, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

async function joinNodes(nodes: RedisServer[]): Promise<void> {
  const primaries = nodes.slice(0, 3);
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
  const slots = 16_384;
  for (const [n, node] of primaries.entries()) {
    const [from, to] = [n, n + 1].map((part) => Math.floor((part * slots) / primaries.length));
    await node.ask((client) => client.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(Number(to) - 1)));
  }
  const bus = Number(((await first.ask((client) => client.config('GET', 'cluster-port'))) as string[])[1]);
  for (const node of others)
    await node.ask((client) => client.call('CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(bus)));
  const known = `cluster_known_nodes:${nodes.length}`;
  for (const node of nodes) await until(async () => (await stateOf(node)).includes('cluster_state:ok'));
  for (const node of nodes) await until(async () => (await stateOf(node)).includes(known));
  for (const [n, node] of nodes.slice(3).entries()) {
    const id = (await primaries[n]?.ask((client) => client.call('CLUSTER', 'MYID'))) as string;
    await node.ask((client) => client.call('CLUSTER', 'REPLICATE', id));
    await until(async () =>
      (await node.ask((client) => client.info('replication'))).includes('link_status:up'),
    );
  }
}

const stateOf = (node: RedisServer): Promise<string> =>
  node.ask((client) => client.cluster('INFO')) as Promise<string>;

/** Waits until `condition` holds. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(20);
}
