/**
 * The run's Redis: one server that both providers use, and a standby that replicates from it. In one fault, a standby
 * that lags behind takes over the server's address.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findOnPath } from '../support/programs.ts';
import { freePort, killTree, signalTree, start, until } from './processes.ts';

export interface RedisPair {
  url: string;
  kill(): void;
  /** Starts it again, with what `save` last kept or, without, empty. */
  restart(options: { fromDump: boolean }): Promise<void>;
  /** Writes a dump, for a later restart from it. */
  save(): Promise<void>;
  pause(): void;
  resume(): Promise<void>;
  flush(): Promise<void>;
  cutConnections(): Promise<void>;
  /** From now on the standby learns nothing more. */
  leaveStandbyBehind(): Promise<void>;
  /** kill -9 of the server; the standby takes its port. */
  failOver(): Promise<void>;
}

interface Server {
  child: ChildProcess;
  port: number;
  directory: string;
}

export async function startRedisPair(directory: string): Promise<RedisPair> {
  const program = findOnPath('redis-server');
  if (!program) throw new Error('redis-server must be on PATH (Debian: apt-get install redis-server)');
  const port = await freePort();
  let servers = 0;

  async function startServer(on: number, where?: string): Promise<Server> {
    servers += 1;
    const home = where ?? join(directory, `redis-${servers}`);
    await mkdir(home, { recursive: true });
    const flags = ['--port', String(on), '--bind', '127.0.0.1', '--dir', home];
    const once = ['--save', '', '--appendonly', 'no', '--enable-debug-command', 'no'];
    const child = start(program as string, [...flags, ...once], { stdio: 'ignore' });
    await ask(on, (client) => client.ping());
    return { child, port: on, directory: home };
  }
  async function startStandby(): Promise<Server> {
    const server = await startServer(await freePort());
    await ask(server.port, (client) => client.replicaof('127.0.0.1', port));
    return server;
  }
  let primary = await startServer(port);
  let standby = await startStandby();
  const kill = () => killTree(primary.child.pid as number);

  return {
    url: `redis://127.0.0.1:${port}`,
    kill,
    async restart({ fromDump }) {
      if (!fromDump) await rm(join(primary.directory, 'dump.rdb'), { force: true });
      primary = await startServer(port, primary.directory);
    },
    save: () => ask(port, (client) => client.save()),
    pause: () => signalTree(primary.child.pid as number, 'SIGSTOP'),
    async resume() {
      signalTree(primary.child.pid as number, 'SIGCONT');
      await ask(port, (client) => client.ping());
    },
    flush: () => ask(port, (client) => client.flushall()),
    cutConnections: () => ask(port, (client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal')),
    leaveStandbyBehind: () => ask(standby.port, (client) => client.replicaof('NO', 'ONE')),
    async failOver() {
      kill();
      await ask(standby.port, (client) => client.config('SET', 'port', String(port)));
      primary = { ...standby, port };
      standby = await startStandby();
    },
  };
}

/** Runs one command on a connection of its own, repeating it until the server answers. */
async function ask(port: number, command: (client: Redis) => Promise<unknown>): Promise<void> {
  await until(`Redis on port ${port}`, 10_000, async () => {
    const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    try {
      await client.connect();
      await command(client);
    } finally {
      client.disconnect();
    }
  });
}
