/** deploy/prometheus and deploy/grafana: what they ask for is what the server tells, and what they find is found. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createMetrics, serveMetrics } from '../../src/http/metrics.ts';
import { root } from '../../src/root.ts';
import { apps } from '../support/apps.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp, challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { findOnPath } from '../support/programs.ts';
import { startServer } from '../support/server.ts';
import { alerts, alertsPath, asked, dashboard, missingFrom } from './queries.ts';

const { registry } = createMetrics('1.2.3');
const promtool = findOnPath('promtool');
const prometheus = findOnPath('prometheus');
const { web } = apps;

test('alerts and dashboard ask only for metrics and labels that the server has', () => {
  expect(asked.length).toBeGreaterThan(40);
  expect(asked.flatMap((each) => missingFrom(registry, each))).toEqual([]);
  // The check itself finds what is not there.
  const wrong = {
    where: 'x',
    expr: 'sum by (a) (rate(cypher_logins_total{b="1"}[5m])) / cypher_none',
    shown: '{{c}}',
  };
  expect(missingFrom(registry, wrong)).toHaveLength(4);
});

test('the page lists exactly the alerts, and the dashboard shows every metric of ours', () => {
  const page = readFileSync(join(root, 'docs/operate/monitoring.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(Cypher\w+)`/gm)].map(([, name]) => name);
  expect(listed.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  const shown = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n');
  const ours = registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => !/^cypher_(process|nodejs)_/.test(name));
  expect(ours.filter((name) => !shown.includes(name))).toEqual([]);
});

test('the panels of the dashboard have an id and a place of their own', () => {
  const { panels } = dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
});

test.skipIf(!promtool)('each alert fires on what it is for, and none on what is usual', () => {
  const run = (...args: string[]) => execFileSync(promtool ?? '', args, { encoding: 'utf8', stdio: 'pipe' });
  expect(run('check', 'rules', alertsPath)).toContain(`${alerts.length} rules found`);
  const tests = join(root, 'test/deploy/alerts.yaml');
  run('test', 'rules', tests);
  const tested = [...readFileSync(tests, 'utf8').matchAll(/alertname="(\w+)"/g)].map(([, name]) => name);
  expect(alerts.map(({ alert }) => alert).filter((name) => !tested.includes(name))).toEqual([]);
});

test.skipIf(!prometheus)(
  'a Prometheus that scrapes a server answers every query of the dashboard',
  async () => {
    const server = await startServer({ clients: Object.values(apps) });
    onTestFinished(server.close);
    const metrics = await serveMetrics(server.metrics, '127.0.0.1', 0);
    onTestFinished(() => void metrics.close());
    const { port } = metrics.address() as AddressInfo;
    const api = await startPrometheus(`127.0.0.1:${port}`);

    const person = createPerson(server, 'watched');
    const { refresh_token: token } = await person.tokensFor(web);
    const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
    const uid = interactionOf(await person.authorize(web, { prompt: 'login', ...pkce })) ?? '';
    await person.provePassword(uid);
    await person.step(uid, 'totp/verify', { code: '000000' });
    for (const presented of [token, 'nonsense'])
      await asApp(server, web, { grant_type: 'refresh_token', refresh_token: presented });
    await asApp(server, web, { token }, '/token/revocation');

    // Nothing of these kinds has happened.
    const silent = /cypher_(account_actions|deliveries|forward_auth)_total/;
    const queries = asked.filter(({ where }) => alerts.every(({ alert }) => alert !== where));
    const unanswered = async () => {
      const without: string[] = [];
      for (const { where, expr } of queries) {
        const answer = await fetch(`${api}/query?query=${encodeURIComponent(expr)}`);
        const { status, error, data } = (await answer.json()) as {
          status: string;
          error?: string;
          data?: { result: object[] };
        };
        if (status !== 'success') throw new Error(`${where}: ${error}`);
        // A ratio of nothing to nothing is an answer too: NaN.
        if (!silent.test(expr) && !data?.result.length) without.push(where);
      }
      return without;
    };
    await expect.poll(unanswered, { timeout: 300_000 }).toEqual([]);
    const answer = await fetch(`${api}/alerts`);
    const { data } = (await answer.json()) as { data: { alerts: { labels: object; state: string }[] } };
    expect(data.alerts.filter(({ state }) => state === 'firing')).toEqual([]);
  },
);

/** Starts a Prometheus that scrapes `target` every second; resolves to the address of its API. */
async function startPrometheus(target: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'cypher-prometheus-'));
  const config = join(directory, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [alertsPath],
      scrape_configs: [{ job_name: 'cypher', static_configs: [{ targets: [target] }] }],
    }),
  );
  const address = `127.0.0.1:${await freePorts()}`;
  const flags = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${directory}/data`,
    `--web.listen-address=${address}`,
  ];
  const child = spawn(prometheus ?? '', flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes) => {
    complaint += bytes;
  });
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  const isReady = () =>
    fetch(`http://${address}/-/ready`).then(
      ({ ok }) => ok,
      () => {
        if (child.exitCode !== null) throw new Error(`Prometheus has ended: ${complaint}`);
        return false;
      },
    );
  await expect.poll(isReady).toBe(true);
  return `http://${address}/api/v1`;
}
