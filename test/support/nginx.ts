/** A real nginx in front of a provider and a site, on https, set up as the documentation says. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findNginx } from './programs.ts';

export interface Nginx {
  port: number;
  stop(): Promise<void>;
}

/** `servers`: the server blocks, given nginx's port. Answers on https for every name under cypher.test. */
export async function startNginx(port: number, servers: string): Promise<Nginx> {
  const program = findNginx();
  if (!program) throw new Error('The tests need nginx on PATH: `npm test` sees to it.');
  const directory = await mkdtemp(join(tmpdir(), 'cypher-nginx-'));
  const file = (name: string) => join(directory, name);
  const subject = ['-subj', '/CN=cypher.test', '-addext', 'subjectAltName=DNS:*.cypher.test'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  execFileSync(
    'openssl',
    ['req', '-x509', ...key, ...subject, '-keyout', file('key'), '-out', file('cert')],
    {
      stdio: 'ignore',
    },
  );
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${file(name)};`)
    .join(' ');
  await writeFile(
    file('nginx.conf'),
    `daemon off; worker_processes 1; error_log ${file('error.log')}; pid ${file('pid')};
     events {}
     http { access_log off; ${temporary} ssl_certificate ${file('cert')}; ssl_certificate_key ${file('key')};
       proxy_buffer_size 16k; proxy_buffers 4 16k; ${servers} }`,
  );
  const nginx: ChildProcess = spawn(program, ['-c', file('nginx.conf'), '-p', directory], { stdio: 'pipe' });
  let complaint = '';
  nginx.stderr?.on('data', (bytes) => {
    complaint += bytes;
  });
  for (let tries = 0; !(await listens(port)); tries += 1) {
    if (nginx.exitCode !== null || tries > 500) throw new Error(`nginx did not come up: ${complaint}`);
    await sleep(10);
  }
  return {
    port,
    async stop() {
      const ended = once(nginx, 'exit');
      nginx.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('error', () => resolve(false)).once('connect', () => socket.destroy());
  });
}
