/** What the alert rules and the dashboard ask of the metrics. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Registry } from 'prom-client';
import { parse } from 'yaml';
import { root } from '../../src/root.ts';

export interface Asked {
  /** Where it is asked: the name of an alert, or the title of a panel. */
  where: string;
  expr: string;
  /** Text in which labels of the result are named. */
  shown: string;
}

interface Rule {
  alert: string;
  expr: string;
  annotations: Record<string, string>;
}

export const alertsPath = join(root, 'deploy/prometheus/alerts.yaml');

export const alerts: Rule[] = (
  parse(readFileSync(alertsPath, 'utf8')) as { groups: { rules: Rule[] }[] }
).groups.flatMap(({ rules }) => rules);

interface Panel {
  title: string;
  targets?: { expr: string; legendFormat: string }[];
}

export const dashboard = JSON.parse(readFileSync(join(root, 'deploy/grafana/cypher.json'), 'utf8')) as {
  panels: (Panel & { id: number; gridPos: { x: number; y: number; w: number; h: number } })[];
  templating: { list: { name: string; query: string | { query: string } }[] };
};

/** The dashboard's queries as Grafana sends them. */
export const asGrafanaAsks = (expr: string): string =>
  expr.replaceAll('$job', 'cypher').replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m');

export const asked: Asked[] = [
  ...alerts.map(({ alert, expr, annotations }) => ({
    where: alert,
    expr,
    shown: Object.values(annotations).join(' '),
  })),
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      where: title,
      expr: asGrafanaAsks(expr),
      shown: legendFormat,
    })),
  ),
];

/** Labels that Prometheus adds to every metric. */
const ofTheTarget = ['job', 'instance'];

/** The metrics that a query names, with the labels that it chooses them by. */
const selectorsIn = (expr: string) =>
  [...expr.matchAll(/\b(cypher_\w+|up)\b(?:\{([^}]*)\})?/g)].map(([, name = '', labels = '']) => ({
    name,
    labels: [...labels.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label ?? ''),
  }));

/** What a query asks for that the server does not have. */
export function missingFrom(registry: Registry, { where, expr, shown }: Asked): string[] {
  const missing: string[] = [];
  const known = new Set(ofTheTarget);
  for (const { name, labels } of selectorsIn(expr)) {
    const own = name === 'up' ? [] : labelsOf(registry, name);
    if (!own) missing.push(`${where}: there is no metric ${name}`);
    for (const label of own ?? []) known.add(label);
    for (const label of labels)
      if (own && ![...ofTheTarget, ...own].includes(label))
        missing.push(`${where}: ${name} has no label ${label}`);
  }
  const grouped = [...expr.matchAll(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((label) => label.trim()),
  );
  const named = [...shown.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label]) => label ?? '');
  for (const label of [...grouped, ...named])
    if (!known.has(label)) missing.push(`${where}: nothing that it asks for has the label ${label}`);
  return missing;
}

/** Undefined if there is no such metric. */
function labelsOf(registry: Registry, name: string): string[] | undefined {
  const whole = registry.getSingleMetric(name);
  const histogram = registry.getSingleMetric(name.replace(/_(bucket|sum|count)$/, ''));
  const metric = whole ?? histogram;
  if (!metric) return undefined;
  // prom-client does not declare them.
  const { labelNames } = metric as unknown as { labelNames: string[] };
  return name.endsWith('_bucket') ? [...labelNames, 'le'] : labelNames;
}
