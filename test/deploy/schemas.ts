/** Checks objects of Kubernetes against the JSON schemas of their kinds. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';

export const schemasPath = join(import.meta.dirname, '../vectors/kubernetes.json');

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; annotations?: Record<string, string>; labels?: Record<string, string> };
  [field: string]: unknown;
}

const { kinds, definitions } = JSON.parse(readFileSync(schemasPath, 'utf8')) as Record<string, object>;
const ajv = new Ajv({ strict: false, allErrors: true });

/** What is wrong with an object, by the place. Empty where nothing is. */
export function faultsIn(object: KubernetesObject): string[] {
  const kind = `${object.apiVersion} ${object.kind}`;
  const schema = (kinds as Record<string, object>)[kind];
  if (!schema) return [`${kind}: there is no schema for this kind`];
  const validate = ajv.getSchema(kind) ?? ajv.addSchema({ ...schema, definitions }, kind).getSchema(kind);
  if (validate?.(object)) return [];
  return (validate?.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${kind} ${object.metadata?.name} ${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

/** Writes the schemas as kubeconform reads them, one file for each kind; returns the template of their names. */
export function writeSchemasFor(directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const [kind, schema] of Object.entries(kinds as Record<string, object>)) {
    const [apiVersion = '', name = ''] = kind.split(' ');
    // Of a group kubeconform takes the first part alone.
    const suffix = apiVersion.replace(/\..*\//, '/').replace('/', '-');
    const file = join(directory, `${name.toLowerCase()}-${suffix}.json`);
    writeFileSync(file, JSON.stringify({ ...schema, definitions }));
  }
  return join(directory, '{{ .ResourceKind }}{{ .KindSuffix }}.json');
}
