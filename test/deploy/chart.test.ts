/**
 * The chart, and the manifests that are rendered from it: valid for Kubernetes, at one with each other, and safe. What
 * needs Helm or kubeconform is skipped where they are not to be had.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { renderManifests, template } from '../../deploy/render.ts';
import { root } from '../../src/root.ts';
import { goTool } from '../support/go_tools.ts';
import { findHelm } from '../support/helm.ts';
import { filesIn } from '../support/repository.ts';
import { faultsIn, type KubernetesObject, writeSchemasFor } from './schemas.ts';

const chart = join(root, 'deploy/helm');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const objectsIn = (text: string): KubernetesObject[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject)
    .filter(Boolean);

const manifests = filesIn('deploy/kubernetes').filter((path) => path.endsWith('.yaml'));
const committed = manifests.flatMap((path) => objectsIn(read(path)));

/** What operators set, from the least to everything. */
const issuer = { ISSUER: 'https://id.example.com' };
const valueSets: Record<string, object> = {
  least: { settings: issuer, migration: { enabled: false } },
  'one instance': { settings: issuer, autoscaling: { enabled: false }, replicas: 1 },
  everything: {
    image: { repository: 'registry.example.com/team/cypher', tag: '1.2.3', pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'registry' }],
    settings: { ...issuer, SESSION_IDLE_SECONDS: 600, SIGN_UP: 'invitation', LOG_LEVEL: 'warn' },
    secret: {
      name: 'identity',
      settings: ['DATABASE_URL', 'REDIS_URL', 'KEY_ENCRYPTION_KEY', 'KEY_ENCRYPTION_KEY_PREVIOUS'],
    },
    files: {
      CLIENTS_FILE: [{ client_id: 'a', redirect_uris: ['https://a.example/{{ not a template }}'] }],
      RESOURCES_FILE: [{ audience: 'https://api.example.com/' }],
      FORWARD_AUTH_FILE: { sites: [] },
    },
    migration: { secretName: 'owner', grantTo: 'cypher_servers' },
    resources: { requests: { cpu: '1', memory: '256Mi' }, limits: { memory: '1Gi' } },
    ingress: {
      enabled: true,
      className: 'nginx',
      annotations: { 'cert-manager.io/issuer': 'x' },
      tlsSecretName: 'tls',
    },
    metrics: { serviceMonitor: true, rules: true, labels: { release: 'kube-prometheus-stack' } },
    networkPolicy: {
      enabled: true,
      from: [{ namespaceSelector: { matchLabels: { name: 'ingress' } } }],
      metricsFrom: [{ podSelector: {} }],
      ports: [5432],
    },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'identity', operator: 'Exists' }],
    podAnnotations: { a: 'b' },
    podLabels: { c: 'd' },
  },
};

const directory = mkdtempSync(join(tmpdir(), 'cypher-chart-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let helm: string | undefined;
let kubeconform: string | undefined;
// To get both for the first time may take minutes.
beforeAll(async () => {
  helm = await findHelm();
  kubeconform = await goTool('kubeconform');
}, 3_600_000);

test('the manifests are valid for Kubernetes, and have no field that it does not know', () => {
  expect(committed.length).toBeGreaterThan(8);
  expect(committed.flatMap(faultsIn)).toEqual([]);
  // The check itself finds a misspelt field far inside.
  const deployment = structuredClone(committed.find(({ kind }) => kind === 'Deployment')) as never as {
    spec: { template: { spec: { containers: { securityContext: object }[] } } };
  } & KubernetesObject;
  Object.assign(deployment.spec.template.spec.containers[0]?.securityContext ?? {}, {
    readOnlyRootFilesytem: true,
  });
  expect(faultsIn(deployment)).toEqual([expect.stringContaining('readOnlyRootFilesytem')]);
});

test('chart and image have the version of the server', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  expect(parse(read('deploy/helm/Chart.yaml'))).toMatchObject({ version, appVersion: version });
});

test('the manifests are what the chart renders', (context) => {
  if (!helm) return context.skip('there is no Helm, and neither npm nor Go has one');
  const rendered = renderManifests(helm);
  expect([...rendered.keys()].map((path) => `deploy/kubernetes/${path}`).sort()).toEqual(
    [...manifests].sort(),
  );
  for (const [path, text] of rendered)
    expect(read(`deploy/kubernetes/${path}`), `${path}: run node deploy/render.ts`).toBe(text);
});

test.for(Object.keys(valueSets))(
  'with %s set, the chart passes lint and makes valid objects',
  (name, context) => {
    if (!helm) return context.skip('there is no Helm, and neither npm nor Go has one');
    const values = join(directory, 'values.json');
    writeFileSync(values, JSON.stringify(valueSets[name]));
    execFileSync(helm, ['lint', '--strict', chart, '--values', values], { stdio: 'pipe' });
    const text = template(helm, valueSets[name] ?? {});
    const objects = objectsIn(text);
    expect(objects.flatMap(faultsIn)).toEqual([]);
    expect(referencesOutOf(objects)).toEqual([]);
    expect(objects.flatMap(unsafeIn)).toEqual([]);
    if (!kubeconform) return;
    const schemas = writeSchemasFor(join(directory, 'schemas'));
    const rendered = join(directory, `${objects.length}.yaml`);
    writeFileSync(rendered, text);
    const said = execFileSync(kubeconform, ['-strict', '-summary', '-schema-location', schemas, rendered], {
      encoding: 'utf8',
    });
    expect(said).toContain(`Valid: ${objects.length}, Invalid: 0, Errors: 0, Skipped: 0`);
  },
);

test('the files of apps reach the server as they were given', (context) => {
  if (!helm) return context.skip('there is no Helm, and neither npm nor Go has one');
  const [config] = objectsIn(template(helm, valueSets.everything ?? {})).filter(
    ({ kind }) => kind === 'ConfigMap',
  );
  const data = config?.data as Record<string, string>;
  const { files } = valueSets.everything as { files: Record<string, unknown> };
  expect(Object.keys(data).sort()).toEqual(['clients.json', 'forward_auth.json', 'resources.json']);
  expect(JSON.parse(data['clients.json'] ?? '')).toEqual(files.CLIENTS_FILE);
});

test.for([
  ['no issuer', {}, /ISSUER must be the public origin/],
  [
    'a secret as a setting',
    { settings: { ...issuer, DATABASE_URL: 'postgres://' } },
    /DATABASE_URL|settings/,
  ],
  ['a misspelt value', { settings: issuer, replica: 3 }, /replica/],
  [
    'no key-encryption key',
    { settings: issuer, secret: { name: 'a', settings: ['DATABASE_URL'] } },
    /contain/,
  ],
] as const)('the chart refuses %s', ([, values, message], context) => {
  if (!helm) return context.skip('there is no Helm, and neither npm nor Go has one');
  expect(() => template(helm ?? '', values)).toThrow(message);
});

interface Pod {
  securityContext: Record<string, unknown>;
  automountServiceAccountToken: unknown;
  enableServiceLinks: unknown;
  containers: {
    name: string;
    securityContext: Record<string, unknown>;
    env: { name: string; value?: string }[];
  }[];
  volumes: { secret?: { secretName: string }; configMap?: { name: string } }[];
  serviceAccountName?: string;
}

const templateOf = ({ kind, spec }: KubernetesObject) =>
  kind === 'Deployment' || kind === 'Job'
    ? (spec as { template: { metadata: { labels: Record<string, string> }; spec: Pod } }).template
    : undefined;

/** What Kubernetes' restricted profile forbids, and what ours adds to it. */
function unsafeIn(object: KubernetesObject): string[] {
  const pod = templateOf(object)?.spec;
  if (!pod) return [];
  const faults: string[] = [];
  const want = (holds: boolean, what: string) => void (holds || faults.push(`${object.kind}: ${what}`));
  const { securityContext } = pod;
  want(securityContext.runAsNonRoot === true && Number(securityContext.runAsUser) > 0, 'may run as root');
  want(
    (securityContext.seccompProfile as { type?: string } | undefined)?.type === 'RuntimeDefault',
    'has no seccomp profile',
  );
  want(pod.automountServiceAccountToken === false, 'has a token of the API server');
  want(pod.enableServiceLinks === false, 'gets settings from the names of services');
  for (const { securityContext: own, env } of pod.containers) {
    want(own.readOnlyRootFilesystem === true, 'may write to its file system');
    want(own.allowPrivilegeEscalation === false, 'may gain privileges');
    want(JSON.stringify(own.capabilities) === '{"drop":["ALL"]}', 'keeps capabilities');
    for (const { name, value } of env)
      want(name.endsWith('_FILE') || !/URL$|KEY|SECRET|PASSWORD/.test(name), `${name} is a secret: ${value}`);
  }
  return faults;
}

/** References between objects that lead nowhere. */
function referencesOutOf(objects: KubernetesObject[]): string[] {
  const pods = objects.flatMap((object) => templateOf(object) ?? []);
  const has = (kind: string, name: string) =>
    objects.some((object) => object.kind === kind && object.metadata.name === name);
  const matches = (selector: Record<string, string>, labels: Record<string, string> = {}) =>
    Object.entries(selector).every(([name, value]) => labels[name] === value);
  const chosen = (selector: Record<string, string>) =>
    pods.filter(({ metadata }) => matches(selector, metadata.labels)).length;
  const faults: string[] = [];
  for (const { kind, metadata, spec } of objects as (KubernetesObject & { spec: Record<string, never> })[]) {
    const fault = (holds: boolean, what: string) =>
      void (holds || faults.push(`${kind} ${metadata.name}: ${what}`));
    if (kind === 'Service') fault(chosen(spec.selector ?? {}) === 1, 'selects no pod, or too many');
    if (kind === 'PodDisruptionBudget' || kind === 'Deployment')
      fault(
        chosen((spec.selector as { matchLabels: object } | undefined)?.matchLabels as never) === 1,
        'selects no pod',
      );
    if (kind === 'NetworkPolicy')
      fault(
        chosen((spec.podSelector as { matchLabels: object } | undefined)?.matchLabels as never) === 1,
        'selects no pod',
      );
    if (kind === 'HorizontalPodAutoscaler') {
      const target = spec.scaleTargetRef as unknown as { kind: string; name: string };
      fault(has(target.kind, target.name), `scales ${target.name}, which is not there`);
    }
    if (kind === 'ServiceMonitor') {
      const selector = (spec.selector as unknown as { matchLabels: Record<string, string> }).matchLabels;
      const services = objects.filter(
        (object) => object.kind === 'Service' && matches(selector, object.metadata.labels),
      );
      fault(services.length === 1, 'selects no service, or too many');
    }
  }
  for (const { spec } of pods) {
    for (const { configMap } of spec.volumes)
      if (configMap && !has('ConfigMap', configMap.name))
        faults.push(`there is no ConfigMap ${configMap.name}`);
    if (spec.serviceAccountName && !has('ServiceAccount', spec.serviceAccountName))
      faults.push(`there is no ServiceAccount ${spec.serviceAccountName}`);
  }
  return faults;
}
