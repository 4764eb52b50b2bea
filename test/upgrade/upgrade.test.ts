/**
 * The promise of docs/operate/upgrade.md: the last release and this one run side by side. Every journey goes from one to
 * the other and back with each request, and begins at either of them. So each step that one of them leaves is taken up by
 * the other.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Format, formats } from '../../src/lib/formats.ts';
import { startAlternating } from '../support/alternating.ts';
import { apps } from '../support/apps.ts';
import { runCypher } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { buildLastRelease, cannotBuild, fileOfLastRelease, lastRelease } from '../support/last_release.ts';
import { signUpSomebody } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';
import { kek } from '../support/server.ts';
import { forwardAuth, journeys, type Place, till, tv } from './steps.ts';

vi.setConfig({ testTimeout: 1_200_000 });

/** The title of a test, with the reason where it is skipped. */
const titled = (title: string) => (cannotBuild ? `${title} (${cannotBuild})` : title);

async function directoryFor(what: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `cypher-${what}-`));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test.skipIf(cannotBuild)(
  titled(`Upgrade: every step between ${lastRelease.version} and this version, in both directions`),
  async () => {
    const [directory, files] = [await directoryFor('last-release'), await directoryFor('files')];
    await buildLastRelease(directory);
    const write = async (name: string, content: object) => {
      await writeFile(join(files, name), JSON.stringify(content));
      return join(files, name);
    };
    const database = await createDatabase();
    const front = await startAlternating();
    onTestFinished(front.close);
    const shared = {
      ISSUER: front.url,
      DATABASE_URL: database.url,
      REDIS_URL: await createRedisDatabase(),
      CLIENTS_FILE: await write('clients.json', [...Object.values(apps), tv, till]),
      FORWARD_AUTH_FILE: await write('forward_auth.json', forwardAuth),
      TRUSTED_PROXIES: '127.0.0.1,::1',
      REGISTRATION: 'open',
      CIBA: 'on',
    };
    const old = await startProcess(shared, directory);
    onTestFinished(async () => {
      await old.signal('SIGKILL');
      await database.drop();
    });
    await old.up();
    // As in an upgrade: it has served somebody before this version comes and migrates.
    front.between([old.port]);
    const { person: before } = await signUpSomebody(front.url, apps.web);
    const next = await startProcess(shared);
    onTestFinished(async () => void (await next.signal('SIGKILL')));
    await next.up();

    let people = 0;
    const place: Place = {
      url: front.url,
      before,
      newName: () => `person-${people++}`,
      cypher: (args) => runCypher(args, { ...shared, KEY_ENCRYPTION_KEY: kek.toString('base64url') }),
    };
    const failed: string[] = [];
    for (const [name, journey] of Object.entries(journeys)) {
      for (const [first, ports] of [
        ['the last release', [old.port, next.port]],
        ['this version', [next.port, old.port]],
      ] as const) {
        front.between(ports);
        await journey(place).catch((error: Error) =>
          failed.push(`${name}, begun at ${first}: ${error.stack?.split('\n    at node:')[0]}`),
        );
      }
    }
    expect(failed).toEqual([]);
    for (const { output } of [old, next]) {
      expect(
        output()
          .split('\n')
          .filter((line) => line.includes('"level":50')),
      ).toEqual([]);
    }
  },
);

test.skipIf(cannotBuild)(
  titled('Upgrade: each release reads the format that the other one writes, of every state'),
  async () => {
    const source = fileOfLastRelease('src/lib/formats.ts');
    const path = join(await directoryFor('formats'), 'formats.ts');
    await writeFile(path, source ?? 'export const formats = {};');
    // A release without this file has format 1 of everything, and so have states that are new.
    const { formats: before } = (await import(path)) as { formats: Record<string, Format> };
    const first: Format = { writes: 1, reads: [1] };
    for (const [kind, now] of Object.entries(formats) as [string, Format][]) {
      const then = before[kind] ?? first;
      expect.soft([kind, then.reads]).toEqual([kind, expect.arrayContaining([now.writes])]);
      expect.soft([kind, now.reads]).toEqual([kind, expect.arrayContaining([then.writes])]);
      expect.soft([kind, now.reads]).toEqual([kind, expect.arrayContaining([now.writes])]);
    }
    expect(Object.keys(before).filter((kind) => !(kind in formats))).toEqual([]);
  },
);
