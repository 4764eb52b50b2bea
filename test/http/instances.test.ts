/** Instances that run with different files: seen by the doctor and by the metrics, and mended by watching the file. */
import { writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { runCypher } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';
import { kek } from '../support/server.ts';

const machine = {
  client_id: 'added-later',
  client_secret: 'the-secret-of-the-added-machine-0123456789',
  redirect_uri: '',
};

test('CLIENTS_FILE differs at one instance: doctor and metrics say so, and a watched file is taken without a signal', async () => {
  const database = await createDatabase();
  onTestFinished(database.drop);
  const port = await freePorts();
  const metricsPorts = [await freePorts(), await freePorts()];
  const shared = {
    ISSUER: `http://localhost:${port}`,
    DATABASE_URL: database.url,
    REDIS_URL: await createRedisDatabase(),
    WATCH_FILES: 'on',
  };
  const one = await startProcess({ ...shared, PORT: String(port), METRICS_PORT: String(metricsPorts[0]) });
  const two = await startProcess({ ...shared, METRICS_PORT: String(metricsPorts[1]) });
  await Promise.all([one.up(), two.up()]);
  const ours = { CLIENTS_FILE: one.clientsFile, KEY_ENCRYPTION_KEY: kek.toString('base64url') };

  const doctor = async () => {
    const { stdout } = await runCypher(['doctor', '--json'], { ...shared, ...ours });
    const findings = JSON.parse(stdout) as { about: string; level: string; found: string }[];
    return findings
      .filter(({ about }) => about === 'instances')
      .map(({ level, found }) => `${level} ${found}`);
  };
  const hashes = () =>
    Promise.all(
      metricsPorts.map(async (at) => {
        const text = await (await fetch(`http://127.0.0.1:${at}/metrics`)).text();
        expect(text).toMatch(/cypher_heartbeats_total\{outcome="ok"\} [1-9]/);
        return /cypher_file_info\{setting="CLIENTS_FILE",hash="(\w+)"\} 1/.exec(text)?.[1];
      }),
    );
  expect(await doctor()).toEqual(['ok 2 run, with the files that lie here']);
  const [before, same] = await hashes();
  expect(before).toMatch(/^[0-9a-f]{16}$/);
  expect(same).toBe(before);

  const { redirect_uri: _, ...metadata } = machine;
  const added = { ...metadata, redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
  const text = JSON.stringify([...Object.values(apps), added]);
  await writeFile(two.clientsFile, text.slice(0, 100));
  await two.until(() => two.output().includes('were not taken'));
  expect(await hashes()).toEqual([before, before]);
  await writeFile(two.clientsFile, text);
  const works = async () => (await asApp(two, machine, { grant_type: 'client_credentials' })).status === 200;
  await two.until(works);
  const [first, second] = await hashes();
  expect([first, second === before]).toEqual([before, false]);
  await expect
    .poll(doctor, { timeout: 60_000 })
    .toEqual([
      expect.stringMatching(/^fault CLIENTS_FILE differs between instances: \w{16} at \S+ \S+; \w{16} at /),
    ]);

  await writeFile(one.clientsFile, text);
  await expect.poll(doctor, { timeout: 60_000 }).toEqual(['ok 2 run, with the files that lie here']);
  expect(await hashes()).toEqual([second, second]);
});
