/** Wires the heartbeat by which this instance is known to the others and to `npx cypher doctor`. */
import { hostname } from 'node:os';
import { randomId } from '../lib/crypto.ts';
import { createInstances } from '../storage/instances.ts';
import { version } from '../version.ts';
import type { Ground } from './deps.ts';
import type { WiredProvider } from './provider.ts';

export const wireInstances = (
  { config, database, metrics, now }: Ground,
  { fileHashes }: Pick<WiredProvider, 'fileHashes'>,
) =>
  createInstances({
    query: database.query,
    now,
    id: `${hostname()}:${config.PORT} ${randomId(6)}`,
    facts: () => ({ version, files: fileHashes() }),
    onBeat: (ok) => metrics.heartbeats.inc({ outcome: ok ? 'ok' : 'failed' }),
  });
