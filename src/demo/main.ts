/**
 * `npm run demo`: starts the provider in a process of its own. A sample app, its API and a first-party app run in
 * this process. Clients, secrets and database are in DATA_DIR/demo, apart from `npm start`. Ctrl-C stops everything.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../root.ts';
import { createDemoApps } from './apps.ts';
import { demoClients } from './clients.ts';

/** The provider's port. The apps use the next three. */
const port = Number(process.env.PORT || 3000);
const dataDir = resolve(root, process.env.DATA_DIR || '.data', 'demo');
const issuer = `http://localhost:${port}`;
const urls = {
  app: `http://localhost:${port + 1}`,
  api: `http://localhost:${port + 2}`,
  intranet: `http://localhost:${port + 3}`,
};

const clients = demoClients(urls);
await portsAreFree();
const provider = startProvider();
let failed = false;
let stopping = false;
const stop = () => {
  stopping = true;
  provider.kill('SIGTERM');
};
process.on('SIGINT', stop);
process.on('SIGTERM', stop);
provider.on('exit', (code) => process.exit(failed ? 1 : (code ?? 1)));

try {
  await answers(`${issuer}/health/ready`);
  const apps = await createDemoApps(issuer, urls, clients, Date.now);
  await Promise.all([listen(apps.app, 1), listen(apps.api, 2), listen(apps.intranet, 3)]);
  process.stdout.write(`
Cypher          ${issuer}  the provider
Notebook        ${urls.app}  an app: open it and choose Sign in, then Create account
The intranet    ${urls.intranet}  an app of the house: sign in there afterwards, no password is asked
The API         ${urls.api}  what Notebook calls with its access tokens
A television    curl -d client_id=demo-device -d scope=openid ${issuer}/device/auth: enter its code at ${issuer}/device

Ctrl-C stops everything.
`);
} catch (error) {
  // If the demo was stopped while it started, this is not an error.
  if (!stopping) {
    process.stderr.write(`The demo cannot start: ${(error as Error).message}\n`);
    failed = true;
    stop();
  }
}

/** Exits if a port is taken. Otherwise another server on the port would be mistaken for the provider. */
async function portsAreFree(): Promise<void> {
  for (let offset = 0; offset < 4; offset++) {
    const probe = createServer().listen(port + offset, '127.0.0.1');
    try {
      await once(probe, 'listening');
    } catch {
      process.stderr.write(
        `The demo needs the ports ${port} to ${port + 3}, and ${port + offset} is taken: stop what runs there, or PORT=3100 npm run demo\n`,
      );
      process.exit(78);
    }
    probe.close();
    await once(probe, 'close');
  }
}

function startProvider(): ChildProcess {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const { resources, ...entries } = clients;
  const file = (name: string, content: object) => {
    const path = join(dataDir, name);
    writeFileSync(path, JSON.stringify(content, null, 2), { mode: 0o600 });
    return path;
  };
  const env = {
    PATH: process.env.PATH,
    PORT: String(port),
    DATA_DIR: dataDir,
    CLIENTS_FILE: file('clients.json', Object.values(entries)),
    RESOURCES_FILE: file('resources.json', resources),
    LOG_LEVEL: process.env.LOG_LEVEL || 'warn',
  };
  const child = spawn(process.execPath, [join(root, 'dist/main.js')], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout?.pipe(process.stderr);
  return child;
}

/** Waits for a successful answer. If the provider exits, this process exits too. */
async function answers(url: string): Promise<void> {
  for (;;) {
    const up = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (up) return;
    await sleep(50);
  }
}

async function listen(handler: RequestListener, offset: number): Promise<void> {
  const server = createServer(handler).listen(port + offset, '127.0.0.1');
  await once(server, 'listening');
}
