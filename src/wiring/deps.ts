/**
 * What the server is built from: the configuration, the stores, the clock and the log. This folder builds the parts
 * from these and from each other. It decides nothing about the protocol.
 */

import type { Audit } from '../audit/audit.ts';
import type { Config } from '../config/load.ts';
import type { Resource } from '../config/schema.ts';
import type { Metrics } from '../http/metrics.ts';
import type { Outgoing } from '../http/outgoing.ts';
import type { Holder } from '../lib/current.ts';
import type { Log } from '../lib/log.ts';
import type { Cache } from '../storage/cache.ts';
import type { Database } from '../storage/database.ts';

export interface AppDeps {
  database: Database;
  cache: Cache;
  /** The 32-byte key-encryption key; and the previous one, if some rows are still sealed under it. */
  kek: Uint8Array;
  previousKek?: Uint8Array | undefined;
  /**
   * A file of this machine that records how far the database's history goes. With it a restored backup is noticed.
   */
  markFile?: string | undefined;
  /** Where views/ and the built assets are. */
  root: string;
  log: Log;
  audit: Audit;
  metrics: Metrics;
  /** Milliseconds since the epoch. */
  now: () => number;
  stopping: () => boolean;
  /** How requests are sent to apps. By default, as a server on the internet sends them. */
  outgoing?: Outgoing;
}

/** The same, with the configuration. Each function of this folder takes it as its first argument. */
export interface Ground extends AppDeps {
  config: Config;
  /** The APIs of RESOURCES_FILE, as it was last read. */
  resources: Holder<readonly Resource[]>;
  /** Names this process among the instances. After a restart it has another name. */
  instance: string;
}
