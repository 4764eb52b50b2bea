/** Wires the heartbeat by which this instance is known to the others and to `npx cypher doctor`. */
import { createInstances } from '../storage/instances.ts';
import { version } from '../version.ts';
import type { Ground } from './deps.ts';
import type { WiredProvider } from './provider.ts';

export const wireInstances = (
  { instance, database, metrics, now }: Ground,
  { fileHashes }: Pick<WiredProvider, 'fileHashes'>,
) =>
  createInstances({
    query: database.query,
    now,
    id: instance,
    facts: () => ({ version, files: fileHashes() }),
    onBeat: (ok) => metrics.heartbeats.inc({ outcome: ok ? 'ok' : 'failed' }),
  });
