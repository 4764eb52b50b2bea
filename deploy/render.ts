/**
 * Renders deploy/kubernetes from the chart: `node deploy/render.ts`. It needs Helm 3 or 4 on the PATH.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const chart = join(import.meta.dirname, 'helm');
const target = join(import.meta.dirname, 'kubernetes');

/** What an operator has to change, and everything that the chart can make. */
const values = {
  settings: { ISSUER: 'https://id.example.com', TRUSTED_PROXIES: '10.0.0.0/8' },
  ingress: { enabled: true, className: 'nginx', tlsSecretName: 'cypher-tls' },
  metrics: { serviceMonitor: true, rules: true },
  networkPolicy: { enabled: true },
};

/** Not every cluster has what these need. */
const optional = new Set(['ingress.yaml', 'networkpolicy.yaml', 'servicemonitor.yaml', 'rules.yaml']);

const heading = '# Rendered from deploy/helm by deploy/render.ts. Changes here are lost.\n';

/** What `helm template` prints for the chart with these values. Throws with Helm's message where it refuses them. */
export const template = (helm: string, given: object): string =>
  execFileSync(helm, ['template', 'cypher', chart, '--values', '-'], {
    input: JSON.stringify(given),
    encoding: 'utf8',
    stdio: 'pipe',
  });

/** The files below deploy/kubernetes by their paths. */
export function renderManifests(helm: string): Map<string, string> {
  const files = new Map<string, string>();
  // Helm puts the name of the template before each object, as in "# Source: cypher/templates/service.yaml".
  for (const part of template(helm, values)
    .split(/^---\n# Source: /m)
    .slice(1)) {
    const [source = '', ...lines] = part.trimEnd().split('\n');
    const name = source.replace(/.*\//, '');
    const path = optional.has(name) ? `optional/${name}` : name;
    const before = files.get(path);
    files.set(path, `${before === undefined ? heading : `${before}---\n`}${lines.join('\n')}\n`);
  }
  return files;
}

if (import.meta.main) {
  const files = renderManifests('helm');
  rmSync(target, { recursive: true, force: true });
  for (const [path, text] of files) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), text);
  }
}
