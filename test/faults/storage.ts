/** What the instances of a run share: a PostgreSQL, perhaps a Redis, and the faults that these can have. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Period, Target } from './history.ts';
import type { Random } from './random.ts';

export interface Storage {
  databaseUrl: string;
  /** Undefined where the instances have no Redis. */
  redisUrl: string | undefined;
  /** Further settings of the instances. */
  settings?: Record<string, string>;
  /** Asks the database at this moment's primary, past whatever the instances go through. */
  query<Row extends object>(text: string): Promise<Row[]>;
  /** Writes by the way that the instances take, where that is another one. */
  write?(): Promise<void>;
  faults: Record<string, FaultKind>;
  /** Whether a failover loses what the new primary had not received. */
  losesInFailover?: boolean;
  stop(): Promise<void>;
}

/** Starts it in this directory. `now`: the history's clock. */
export type StartStorage = (directory: string, now: () => number) => Promise<Storage>;

export interface FaultKind {
  weight: number;
  target: Exclude<Target, `provider ${number}`> | 'provider' | 'clock' | 'keys';
  /** Does it and brings the target back; resolves when the target is whole again. */
  inject(random: Random, provider: number): Promise<Injected> | Promise<void>;
}

/** What a fault has to tell, beyond when it began and when `inject` was through. */
export interface Injected {
  /** When service was possible again, where that was earlier. */
  until?: number;
  /** When the database took writes that no standby confirmed. */
  stalls?: Period;
  /** When the database acknowledged what it lost afterwards. */
  loses?: Period[];
}

export const aWhile = (random: Random, least: number, most: number) => sleep(random.int(least, most));
