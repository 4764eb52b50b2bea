/** A real etcd of one member. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, start, until } from '../faults/processes.ts';

/** Starts one with its data and its log in `directory`; resolves when it is healthy. */
export async function startEtcd(
  program: string,
  directory: string,
): Promise<{ child: ChildProcess; port: number }> {
  const [port, peerPort] = [await freePort(), await freePort()];
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  const log = openSync(join(directory, 'etcd.log'), 'a');
  const flags = {
    'data-dir': join(directory, 'etcd'),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `default=${peer}`,
  };
  const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child = start(program, words, { stdio: ['ignore', log, log], env: { PATH: process.env.PATH } });
  child.on('error', () => {});
  closeSync(log);
  await until('etcd', 60_000, async () => {
    const answer = await fetch(`${client}/health`);
    if (!(await answer.text()).includes('true')) throw new Error('not healthy');
  });
  return { child, port };
}
