/** src/main.ts as a child process on the storage of a test server, under its issuer and keys: another instance, to be killed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { apps } from './apps.ts';
import { freePorts, npmRun } from './npm_run.ts';
import { kek } from './server.ts';

/** Begins to start it, with a DATA_DIR of its own; `up` resolves when it answers. */
export async function startProcess(settings: Record<string, string>) {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-process-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const clients = join(directory, 'clients.json');
  await writeFile(clients, JSON.stringify(Object.values(apps)));
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  const child = npmRun('start', {
    PORT: String(port),
    DATA_DIR: directory,
    CLIENTS_FILE: clients,
    KEY_ENCRYPTION_KEY: kek.toString('base64url'),
    LIMIT_ADDRESS_PER_MINUTE: '100000',
    ...settings,
  });
  const answers = () =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  return { ...child, url, port, up: () => child.until(answers) };
}
