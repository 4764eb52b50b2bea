/** Whether the running instances work with the same version and the same files as each other, and as this command. */
import { type FileHashes, type Instance, liveInstances } from '../../storage/instances.ts';
import type { Query } from '../../storage/run_statement.ts';
import type { Finding } from './finding.ts';

type Found = Omit<Finding, 'about'>;

const settings = ['CLIENTS_FILE', 'RESOURCES_FILE', 'FORWARD_AUTH_FILE'] as const;

/** `here`: the hashes of the files that this command reads. */
export async function checkInstances(query: Query, here: FileHashes, nowMs: number): Promise<Found[]> {
  return compareInstances(await liveInstances(query, nowMs), here);
}

/** The findings. If nothing differs, there is one, and it is ok. Pure. */
export function compareInstances(running: readonly Instance[], here: FileHashes): Found[] {
  if (running.length === 0) return [{ level: 'ok', found: 'none runs at this moment' }];
  const differences = [
    ...settings.flatMap((setting) => compareFile(running, setting, here[setting])),
    ...compareVersions(running),
  ];
  if (differences.length > 0) return differences;
  const some = running.length === 1 ? 'one runs' : `${running.length} run`;
  return [{ level: 'ok', found: `${some}, with the files that lie here` }];
}

function compareFile(
  running: readonly Instance[],
  setting: keyof FileHashes,
  here: string | undefined,
): Found[] {
  const byHash = groupedBy(running, ({ files }) => files[setting]);
  if (byHash.size > 1) {
    return [
      {
        level: 'fault',
        found: `${setting} differs between instances: ${listOf(byHash)}`,
        change: `give every instance the same ${setting}, and ${anew(setting)}`,
      },
    ];
  }
  if (byHash.has(here)) return [];
  return [
    {
      level: 'warning',
      found: `the instances work with another ${setting} than the one that this command reads`,
      change: `${anew(setting)}; or give this command the ${setting} of the server`,
    },
  ];
}

function compareVersions(running: readonly Instance[]): Found[] {
  const byVersion = groupedBy(running, ({ version }) => version);
  if (byVersion.size < 2) return [];
  return [
    {
      level: 'warning',
      found: `instances of different versions run: ${listOf(byVersion)}`,
      change: 'replace those of the older version, see docs/operate/upgrade.md',
    },
  ];
}

/** FORWARD_AUTH_FILE is read at the start alone. */
const anew = (setting: keyof FileHashes): string =>
  setting === 'FORWARD_AUTH_FILE' ? 'restart the instances' : 'send each SIGHUP, or set WATCH_FILES=on';

function groupedBy<K>(running: readonly Instance[], keyOf: (instance: Instance) => K): Map<K, string[]> {
  const groups = new Map<K, string[]>();
  for (const instance of running) {
    const key = keyOf(instance);
    groups.set(key, [...(groups.get(key) ?? []), instance.id]);
  }
  return groups;
}

const listOf = (groups: ReadonlyMap<string | undefined, string[]>): string =>
  [...groups].map(([what, ids]) => `${what ?? 'none'} at ${ids.join(', ')}`).join('; ');
