/**
 * A PostgreSQL cluster as Patroni runs it, on loopback: an etcd, and three nodes that each run a Patroni with its
 * PostgreSQL. Replicas reach the primary through a proxy, so that a test can make them fall behind.
 */
import { randomBytes } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import pg from 'pg';
import { killTree, until } from '../faults/processes.ts';
import { startEtcd } from './etcd.ts';
import { createNode, type PatroniNode, superuser, userOfPostgres } from './patroni_node.ts';
import { findPatroni } from './patroni_programs.ts';

export interface PatroniCluster {
  nodes: PatroniNode[];
  /** The URL of an empty database and its owner at this host. */
  urlAt(...hosts: { port: number }[]): string;
  /** The node that takes writes now. Rejects if there is none. */
  primary(): Promise<PatroniNode>;
  /** Resolves when a node takes writes, whose name is not `except`. */
  promoted(except?: string): Promise<PatroniNode>;
  /** Resolves when a write is confirmed, by a standby too if replication is synchronous. */
  confirms(): Promise<void>;
  /** Resolves when a primary has two replicas that follow it, one of them synchronously if that is asked for. */
  whole(): Promise<void>;
  /** Asks Patroni to make another node the primary. */
  switchover(): Promise<void>;
  query<Row extends object>(text: string): Promise<Row[]>;
  stop(): Promise<void>;
}

const owner = { username: 'cypher', password: randomBytes(16).toString('hex') };
const longMs = 120_000;

/** Starts everything in `directory`; resolves when the cluster is whole. */
export async function startPatroni(directory: string, synchronous: boolean): Promise<PatroniCluster> {
  const programs = findPatroni();
  if (!programs) throw new Error('there is no Patroni');
  // PostgreSQL does not run as root.
  const user = process.getuid?.() === 0 ? await userOfPostgres() : undefined;
  if (user) await chmod(directory, 0o755);
  const etcd = await startEtcd(programs.etcd, directory);
  const nodes: PatroniNode[] = [];
  const stops: (() => Promise<void>)[] = [];
  for (const name of ['node0', 'node1', 'node2']) {
    const { node, close } = await createNode({
      programs,
      user,
      directory,
      name,
      etcd: etcd.port,
      synchronous,
    });
    nodes.push(node);
    stops.push(close);
    node.launch();
    // The first one makes the cluster, the others copy it.
    if (name === 'node0') await patiently('the first primary', () => answersAs('primary', node));
  }
  const cluster = clusterOf(nodes, synchronous, async () => {
    await Promise.all(stops.map((stop) => stop()));
    killTree(etcd.child.pid as number);
  });
  await cluster.whole();
  const admin = (text: string) => onNode(nodes[0] as PatroniNode, superuser, 'postgres', text);
  await admin(`create role ${owner.username} login password '${owner.password}'`);
  await admin(`create database cypher owner ${owner.username}`);
  return cluster;
}

function clusterOf(nodes: PatroniNode[], synchronous: boolean, stop: () => Promise<void>): PatroniCluster {
  let known: PatroniNode | undefined;
  async function primary(): Promise<PatroniNode> {
    known = await Promise.any(nodes.map((node) => answersAs('primary', node).then(() => node)));
    return known;
  }
  async function query<Row extends object>(text: string): Promise<Row[]> {
    try {
      return await onNode<Row>(known ?? (await primary()), superuser, 'cypher', text);
    } catch (error) {
      known = undefined;
      throw error;
    }
  }
  return {
    nodes,
    urlAt: (...hosts) =>
      `postgresql://${owner.username}:${owner.password}@${hosts.map(({ port }) => `127.0.0.1:${port}`).join()}/cypher`,
    primary,
    promoted: (except) =>
      patiently('another primary', async () => {
        const node = await primary();
        if (node.name === except) throw new Error('it is still the same');
        return node;
      }),
    confirms: () =>
      patiently('a write', async () => {
        await query("select pg_logical_emit_message(true, 'faults', '')");
      }),
    whole: () =>
      patiently('the whole cluster', async () => {
        const following = await onNode(
          await primary(),
          superuser,
          'postgres',
          `select from pg_stat_replication where state = 'streaming' and application_name like 'node%'`,
        );
        if (following.length < nodes.length - 1) throw new Error('not all follow');
        // Only a standby that Patroni has noted as synchronous may take over.
        if (synchronous) await Promise.any(nodes.map((node) => answersAs('sync', node)));
      }),
    async switchover() {
      const before = await primary();
      await patiently('a switchover', async () => {
        // Patroni may answer that it does not know the outcome, and succeed afterwards.
        if ((await primary()).name !== before.name) return;
        const answer = await fetch(`http://127.0.0.1:${before.restPort}/switchover`, {
          method: 'POST',
          body: JSON.stringify({ leader: before.name }),
        });
        if (!answer.ok) throw new Error(await answer.text());
      });
    },
    query,
    stop,
  };
}

async function answersAs(role: 'primary' | 'sync', { restPort }: PatroniNode): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${restPort}/${role}`, {
    // Without a body, as a load balancer asks.
    ...{ method: 'OPTIONS', signal: AbortSignal.timeout(1000) },
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
}

async function onNode<Row extends object>(
  { port }: PatroniNode,
  { username, password }: typeof superuser,
  database: string,
  text: string,
): Promise<Row[]> {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port, user: username, password, database },
    ...{ connectionTimeoutMillis: 1000, query_timeout: 10_000 },
  });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Each attempt costs a Patroni something, so they are not as fast as they can be. */
const patiently = <T>(what: string, attempt: () => Promise<T>): Promise<T> =>
  until(what, longMs, attempt, 100);
