/**
 * Makes test/vectors/kubernetes.json: the JSON schemas of the kinds that the chart uses, from Kubernetes' own OpenAPI
 * description and from the CRDs of the Prometheus operator. They are strict: an unknown field is a fault, because the API
 * server would drop it without a word.
 *
 * node test/deploy/make_schemas.ts OPENAPI_SPEC SERVICEMONITORS_CRD PROMETHEUSRULES_CRD
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null;
type Schema = { [key: string]: Json };

const kinds: Record<string, string> = {
  'v1 ConfigMap': 'io.k8s.api.core.v1.ConfigMap',
  'v1 Service': 'io.k8s.api.core.v1.Service',
  'v1 ServiceAccount': 'io.k8s.api.core.v1.ServiceAccount',
  'apps/v1 Deployment': 'io.k8s.api.apps.v1.Deployment',
  'autoscaling/v2 HorizontalPodAutoscaler': 'io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler',
  'batch/v1 Job': 'io.k8s.api.batch.v1.Job',
  'networking.k8s.io/v1 Ingress': 'io.k8s.api.networking.v1.Ingress',
  'networking.k8s.io/v1 NetworkPolicy': 'io.k8s.api.networking.v1.NetworkPolicy',
  'policy/v1 PodDisruptionBudget': 'io.k8s.api.policy.v1.PodDisruptionBudget',
};

const source =
  'Kubernetes 1.37.2 api/openapi-spec/swagger.json, and the CRDs of Prometheus operator 0.85.0: made strict by test/deploy/make_schemas.ts';

const [swaggerPath, ...crdPaths] = process.argv.slice(2);
if (!swaggerPath) throw new Error('give the path of swagger.json, and those of the CRDs');

const swagger = JSON.parse(readFileSync(swaggerPath, 'utf8')) as {
  definitions: Record<string, Schema>;
};
const definitions: Record<string, Json> = {};
const roots: Record<string, Json> = {};

for (const [kind, name] of Object.entries(kinds)) roots[kind] = rootOf(kind, refTo(name));
for (const path of crdPaths) {
  const { spec } = JSON.parse(readFileSync(path, 'utf8')) as {
    spec: {
      group: string;
      names: { kind: string };
      versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
    };
  };
  for (const { name, schema } of spec.versions) {
    const kind = `${spec.group}/${name} ${spec.names.kind}`;
    const definition = strict(schema.openAPIV3Schema) as Schema;
    // A CRD describes the rest of an object; its metadata are the same for every kind.
    const properties = { ...(definition.properties as Schema) };
    properties.metadata = refTo('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
    const definitionName = `${spec.group}.${name}.${spec.names.kind}`;
    definitions[definitionName] = { ...definition, properties };
    roots[kind] = rootOf(kind, { $ref: `#/definitions/${definitionName}` });
  }
}
const lines = (entries: object) =>
  Object.entries(entries)
    .map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    .join(',\n');
writeFileSync(
  join(import.meta.dirname, '../vectors/kubernetes.json'),
  `{\n  "source": ${JSON.stringify(source)},\n  "kinds": {\n${lines(roots)}\n  },\n  "definitions": {\n${lines(definitions)}\n  }\n}\n`,
);

/** The schema of a kind, which also has to say that it is this kind. */
function rootOf(kind: string, definition: Json): Schema {
  const [apiVersion = '', name = ''] = kind.split(' ');
  const named = { apiVersion: { enum: [apiVersion] }, kind: { enum: [name] } };
  return { allOf: [definition, { type: 'object', required: ['apiVersion', 'kind'], properties: named }] };
}

/** A reference to one of Kubernetes' definitions, which is taken over with all that it refers to. */
function refTo(name: string): Schema {
  if (!(name in definitions)) {
    definitions[name] = {};
    definitions[name] = definitionOf(name);
  }
  return { $ref: `#/definitions/${name}` };
}

function definitionOf(name: string): Json {
  if (name.endsWith('.IntOrString')) return { type: ['integer', 'string'] };
  if (name.endsWith('.Quantity')) return { type: ['number', 'string'] };
  return strict(swagger.definitions[name] ?? fail(`there is no ${name}`));
}

/** Without descriptions and what a server alone writes; objects take the properties that they list, and no others. */
function strict(schema: Schema): Json {
  const { $ref, properties, items, additionalProperties } = schema;
  if (typeof $ref === 'string') return refTo($ref.replace('#/definitions/', ''));
  if (schema['x-kubernetes-int-or-string']) return { type: ['integer', 'string'] };
  const kept = [
    'type',
    'enum',
    'required',
    'pattern',
    'minimum',
    'maximum',
    'minLength',
    'minItems',
    'maxItems',
  ];
  const out: Schema = Object.fromEntries(
    kept.flatMap((key) => (schema[key] === undefined ? [] : [[key, schema[key]]])),
  );
  // A flag inside a pattern is Go's alone.
  if (String(out.pattern ?? '').includes('(?i)')) delete out.pattern;
  if (properties) {
    const listed = Object.entries(properties as Record<string, Schema>);
    out.properties = Object.fromEntries(
      listed
        .filter(([name]) => name !== 'status' && name !== 'managedFields')
        .map(([name, each]) => [name, strict(each)]),
    );
    out.additionalProperties = schema['x-kubernetes-preserve-unknown-fields'] === true;
  }
  if (items) out.items = strict(items as Schema);
  if (additionalProperties && typeof additionalProperties === 'object')
    out.additionalProperties = strict(additionalProperties as Schema);
  return out;
}

function fail(message: string): never {
  throw new Error(message);
}
