/** A PostgreSQL of a test's own: for one that makes users, needs a standby, or stops the server. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { onTestFinished } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { signalTree } from '../faults/processes.ts';
import { freePorts } from './npm_run.ts';

export interface Cluster {
  /** As the owner of an empty database. */
  url: string;
  port: number;
  /** The same with another user, password or database. */
  urlOf(parts: { username?: string; password?: string; database?: string }): string;
  /** Runs statements as a superuser. */
  admin<Row extends object>(text: string, database?: string): Promise<Row[]>;
  /** Sends a signal to the server and to each of its processes. */
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Starts a standby that follows this one. It answers reads as soon as this resolves. */
  standby(): Promise<Cluster>;
}

/** Starts one, which is removed after the test. Nothing of it is to outlive the test, so it need not wait for the disk. */
export async function startCluster(): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-cluster-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return clusterIn(directory, {});
}

async function clusterIn(directory: string, more: Record<string, string>): Promise<Cluster> {
  const port = await freePorts();
  const settings = { port: String(port), fsync: 'off', max_connections: '150', ...more };
  const start = () => startEmbeddedPostgres({ dataDir: directory, settings });
  let running: EmbeddedPostgres | undefined = await start();
  onTestFinished(() => running?.stop());
  const { url } = running;
  const password = await readFile(join(directory, 'postgres/password'), 'utf8');
  const cluster: Cluster = {
    url,
    port,
    urlOf({ username = 'cypher', password: other = password, database = 'cypher' }) {
      return `postgresql://${username}:${other}@127.0.0.1:${port}/${database}`;
    },
    async admin(text, database) {
      const connectionString = cluster.urlOf({ username: 'postgres', ...(database && { database }) });
      const client = new pg.Client({ connectionString });
      client.on('error', () => {});
      await client.connect();
      return (await client.query(text).finally(() => client.end())).rows ?? [];
    },
    signal(name) {
      const pid = readFileSync(join(directory, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0];
      signalTree(Number(pid), name);
    },
    async stop() {
      await running?.stop();
      running = undefined;
    },
    async start() {
      running = await start();
    },
    async standby() {
      const copy = await mkdtemp(join(tmpdir(), 'cypher-standby-'));
      onTestFinished(() => rm(copy, { recursive: true, force: true }));
      await cluster.stop();
      // With the owners of the files: PostgreSQL does not run as root.
      await promisify(execFile)('cp', ['-a', `${directory}/.`, copy]);
      await writeFile(join(copy, 'postgres/data/standby.signal'), '');
      await cluster.start();
      const primary = `host=127.0.0.1 port=${port} user=postgres password=${password}`;
      return clusterIn(copy, { primary_conninfo: primary });
    },
  };
  return cluster;
}
