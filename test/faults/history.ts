/**
 * The history of a run: requests and answers, injected faults, and what the script knows about the end of things. The
 * workload and the faults write it, and the checker reads it. As JSON lines it is the evidence. Times are
 * milliseconds since the run began, by one monotonic clock.
 */
import { createWriteStream } from 'node:fs';

export interface Period {
  from: number;
  until: number;
}

/** One request and its answer. `subjects` and `uses` name things: `family:…`, `session:…`, `token:…`, `code:…`. */
export interface Call {
  type: 'call';
  at: number;
  ms: number;
  actor: number;
  op: string;
  /** Which provider process was asked. */
  via: number;
  /** HTTP status; 0 where no answer came. */
  status: number;
  error?: string;
  retryAfter?: string;
  /** It got what it asked for: tokens, `active`, a code, the next step. */
  succeeded: boolean;
  /** What one call only can use: a code, a TOTP step, a recovery code, a login-step token, a KE2 state, a change's proof. */
  uses?: string[];
  /** The refresh token or device code that was presented and the refresh token that came back, by fingerprint. */
  presents?: string;
  yields?: string;
  /** Names the key that sealed what the call yields. */
  sealedBy?: string;
  /** Whose end must stop this call from succeeding. */
  subjects?: string[];
  /** By somebody entitled to it, who has repeated it since this time: it must not be refused. */
  honestSince?: number;
  /** Evidently theft or repetition: it must be refused. */
  mustFail?: true;
  /** Repeats a token that another one has used in this time, and comes more than a leeway later. */
  repeats?: Period;
  /** What must be found in the database from the answer on. */
  creates?: string;
}

/** From here on the subjects may or may not be alive: an attack or a revocation is on its way. */
export interface Doubt {
  type: 'doubt';
  at: number;
  subjects: string[];
}

/** From here on the subjects exist, or are again what they were: a session, a device's code, an account that is enabled. */
export interface Began {
  type: 'began';
  at: number;
  subjects: string[];
}

export type Because =
  | 'revoked'
  | 'signed_out'
  | 'signed_out_everywhere'
  | 'password_changed'
  | 'disabled'
  | 'reuse';

/** From here on nothing of the subjects may succeed: their end was answered. */
export interface Ended {
  type: 'ended';
  at: number;
  subjects: string[];
  because: Because;
  /** What the audit log must tell of it: the event and whom or what it is about. */
  told?: string;
}

export type Target = 'postgres' | 'redis' | 'provider 0' | 'provider 1';

export interface Fault {
  type: 'fault';
  name: string;
  target: Target;
  at: number;
  /** When it was over: the target answered again. */
  until: number;
  /** When the database answered, but confirmed no writes: what writes may wait for as long as for a slow database. */
  stalls?: Period;
  /** What was acknowledged in these periods may be lost: a standby took over that had not received it. */
  loses?: Period[];
}

/** A provider process that ended without being told to. */
export interface Died {
  type: 'died';
  at: number;
  provider: number;
  code: number | null;
}

/** Somebody entitled stopped repeating a request without having got an answer. */
export interface GaveUp {
  type: 'gave_up';
  at: number;
  op: string;
  since: number;
  subjects: string[];
}

/** From `at` on the harness itself was late by this much: what it measured then is its own slowness. */
export interface Lag {
  type: 'lag';
  at: number;
  ms: number;
}

export type Event = Call | Doubt | Began | Ended | Fault | Died | GaveUp | Lag;

export interface History {
  now(): number;
  add(event: Event): void;
  events(): readonly Event[];
  close(): Promise<void>;
}

/** Keeps the events and writes each to `file` as one line of JSON. */
export function createHistory(file: string): History {
  const begun = performance.now();
  const events: Event[] = [];
  const lines = createWriteStream(file);
  return {
    now: () => Math.round((performance.now() - begun) * 10) / 10,
    add(event) {
      events.push(event);
      lines.write(`${JSON.stringify(event)}\n`);
    },
    events: () => events,
    close: () => new Promise((resolve) => lines.end(() => resolve())),
  };
}
