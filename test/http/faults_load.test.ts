/** Row "Load and rubbish", against a process of its own: what it costs it in memory, and the others in time. */
import { spawn } from 'node:child_process';
import { type ClientRequest, request as send } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { type Provider, startProcess } from '../support/provider_process.ts';

let provider: Provider;
let metricsPort: number;
let drop: () => Promise<void>;
beforeEach(async () => {
  const database = await createDatabase();
  drop = database.drop;
  metricsPort = await freePorts();
  provider = await startProcess({
    DATABASE_URL: database.url,
    REDIS_URL: await createRedisDatabase(),
    METRICS_PORT: String(metricsPort),
  });
  await provider.up();
});
afterEach(async () => {
  await provider.signal('SIGKILL');
  await drop();
});

const megabyte = 1024 * 1024;

/** Resident memory in megabytes, and open handles: connections, for the most part. */
async function metrics(): Promise<{ memory: number; handles: number }> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1]);
  return {
    memory: value('cypher_process_resident_memory_bytes') / megabyte,
    handles: value('cypher_nodejs_active_handles_total'),
  };
}

const endpoints = ['/token', '/token/introspection', '/request', '/auth', '/interaction/x/login/init'];

const drained = (sent: ClientRequest): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      sent.off('drain', done).off('close', done);
      resolve();
    };
    sent.once('drain', done).once('close', done);
  });

/** Streams a body until the server answers or ends the connection; resolves to the status, 0 where it just ended. */
function stream(
  path: string,
  headers: Record<string, string>,
  chunk: Buffer,
  times: number,
): Promise<number> {
  return new Promise((resolve) => {
    const sent = send(`${provider.url}${path}`, { method: 'POST', headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
      sent.destroy();
    });
    sent.on('error', () => resolve(0));
    const write = async () => {
      for (let count = 0; count < times && !sent.destroyed; count++) {
        if (!sent.write(chunk)) await drained(sent);
      }
      sent.end();
    };
    void write();
  });
}

test('100 MB bodies, gzip bombs, 10⁵ parameters → refused, memory +20 MB at most', async () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const json = { 'content-type': 'application/json' };
  const rubbish: [headers: Record<string, string>, chunk: Buffer, times: number][] = [
    [form, Buffer.alloc(megabyte, 'a=b&'), 100],
    [{ ...form, 'content-length': String(100 * megabyte) }, Buffer.alloc(megabyte, 'a'), 100],
    [json, Buffer.alloc(megabyte, '{"a":'), 100],
    [{ ...form, 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(100 * megabyte)), 1],
    [{ ...json, 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(100 * megabyte, '[')), 1],
    [form, Buffer.from(Array.from({ length: 100_000 }, (_, index) => `p${index}=x`).join('&')), 1],
  ];
  const attack = async (rounds: number) => {
    for (let round = 0; round < rounds; round++) {
      for (const [headers, chunk, times] of rubbish) {
        const statuses = await Promise.all(endpoints.map((path) => stream(path, headers, chunk, times)));
        for (const status of statuses) expect([0, 400, 401, 403, 404, 413, 415]).toContain(status);
      }
    }
  };
  // Until code is compiled and the heap has found its size.
  await attack(3);
  const before = await metrics();
  await attack(1);
  const after = await metrics();
  expect(after.memory - before.memory).toBeLessThan(20);
  // No connection stays behind.
  await attack(5);
  const connections = async () => (await metrics()).handles;
  await expect.poll(connections).toBeLessThan(before.handles + 10);
  expect((await fetch(`${provider.url}/health/ready`)).status).toBe(200);
});

/** The 99th percentile of the time that a request takes, in milliseconds. */
async function p99(): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < 400; count++) {
    const begun = performance.now();
    const answer = await fetch(`${provider.url}/health/ready`);
    await answer.arrayBuffer();
    expect(answer.status).toBe(200);
    times.push(performance.now() - begun);
  }
  return times.sort((a, b) => a - b)[395] ?? Number.POSITIVE_INFINITY;
}

test('2,000 slow connections: the others’ p99 at most doubles, and the slow ones are ended', async () => {
  await p99();
  const alone = await p99();
  // In a process of their own: what is measured here must not wait for them.
  const script = new URL('../faults/slow_connections.ts', import.meta.url).pathname;
  const slow = spawn(process.execPath, [script, String(provider.port), '2000']);
  onTestFinished(() => void slow.kill());
  let said = '';
  slow.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await expect.poll(() => said).toContain('open');
  const besides = await p99();
  expect(said).not.toContain('ended');
  // Beneath a few milliseconds it is the machine's noise that is compared.
  expect(besides).toBeLessThan(2 * Math.max(alone, 10));
  await expect.poll(() => said, { timeout: 120_000, interval: 500 }).toContain('ended');
});
