/** A real HAProxy in front of the nodes of a Patroni cluster: it leads to the one that Patroni calls the primary. */
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, killTree, start, until } from '../faults/processes.ts';
import type { PatroniNode } from './patroni_node.ts';
import { findHaproxy } from './programs.ts';

export interface Haproxy {
  port: number;
  stop(): void;
}

/** As docs/operate/high-availability.md has it. */
const settings = (port: number, nodes: PatroniNode[]) => `
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check 1s
listen postgresql
  bind 127.0.0.1:${port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 500ms fall 4 rise 1 on-marked-down shutdown-sessions
${nodes.map((node) => `  server ${node.name} 127.0.0.1:${node.port} check port ${node.restPort}`).join('\n')}
`;

/** Starts one, which writes its file and its log to `directory`. */
export async function startHaproxy(directory: string, nodes: PatroniNode[]): Promise<Haproxy> {
  const program = findHaproxy();
  if (!program) throw new Error('there is no haproxy');
  const port = await freePort();
  const file = join(directory, 'haproxy.cfg');
  await writeFile(file, settings(port, nodes));
  const log = openSync(join(directory, 'haproxy.log'), 'a');
  const child = start(program, ['-db', '-f', file], { stdio: ['ignore', log, log] });
  child.on('error', () => {});
  closeSync(log);
  await until('haproxy', 30_000, async () => {
    if (child.exitCode !== null) throw new Error('haproxy ended');
    await new Promise<void>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve();
      });
      socket.once('error', reject);
    });
  });
  return { port, stop: () => killTree(child.pid as number) };
}
