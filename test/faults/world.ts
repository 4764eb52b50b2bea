/**
 * Who takes part in a run, and what they hold. Each actor has people of its own, so what it knows of them is always
 * true.
 */
import type { Caller } from './caller.ts';
import type { Because, History } from './history.ts';
import type { Random } from './random.ts';

/** An account's owner, with an authenticator. */
export interface Person {
  name: string;
  password: string;
  totpSecret: string;
  /** The last time step whose code was entered. */
  lastStep: number;
  recoveryCodes: string[];
}

export type Jar = Map<string, { value: string; path: string }>;

/** `doubt`: its end was asked for and not yet answered, or an attack on it is open. */
export type State = 'alive' | 'doubt' | 'ended';

/** A browser that is signed in. */
export interface Session {
  subject: string;
  person: Person;
  jar: Jar;
  state: State;
}

export interface App {
  client_id: string;
  client_secret: string;
  redirect_uri: string;
}

/** What an app got for one code, and all that was refreshed from it. */
export interface Family {
  subject: string;
  app: App;
  session: Session;
  /** Outlives its session: `offline_access` was granted. */
  offline: boolean;
  refreshToken: string;
  accessToken: string;
  /** Refresh tokens that were rotated, the latest last. */
  rotated: string[];
  state: State;
  /** Requests whose answers the app did not wait for. */
  unread: Promise<unknown>[];
}

/** What an app without refresh tokens got for a code: it lives as long as its session, or less. */
export interface AccessToken {
  subject: string;
  session: Session;
  accessToken: string;
  state: State;
}

/** One virtual client: a person's browsers and apps, one operation after another. */
export interface Actor extends Caller {
  number: number;
  random: Random;
  history: History;
  issuer: string;
  /** Runs a command of `npx cypher`; false where it failed. */
  cypher(...words: string[]): Promise<boolean>;
  people: Person[];
  sessions: Session[];
  families: Family[];
  accessTokens: AccessToken[];
  /** What goes on beside the operations. */
  meanwhile: Promise<void>[];
  /** Whether the run is over. */
  isOver(): boolean;
}

/** An operation cannot go on: a step was refused or not answered. What that means is for the checker. */
export class Interrupted extends Error {}

export const eitherProvider = (actor: Actor): number => actor.random.int(0, 1);

/** To be said before the attack or the revocation is sent. */
export function doubt(actor: Actor, things: { subject: string; state: State }[]): void {
  for (const thing of things) if (thing.state === 'alive') thing.state = 'doubt';
  actor.history.add({ type: 'doubt', at: actor.now(), subjects: things.map(({ subject }) => subject) });
}

/** To be said when it was answered that there is something, or that it is again as before. */
export const began = (actor: Actor, ...subjects: string[]): void =>
  actor.history.add({ type: 'began', at: actor.now(), subjects });

/** To be said when the end has been answered. `told`: what the audit log must tell of it, as `event subject`. */
export function ended(
  actor: Actor,
  things: { subject: string; state: State }[],
  because: Because,
  told?: string,
): void {
  for (const thing of things) thing.state = 'ended';
  const subjects = things.map(({ subject }) => subject);
  actor.history.add({ type: 'ended', at: actor.now(), subjects, because, ...(told ? { told } : {}) });
}

export const alive = <T extends { state: State }>(things: T[]): T[] =>
  things.filter(({ state }) => state === 'alive');

const longestRetryMs = 30_000;

/**
 * Repeats a call as an honest client does: the very same request, through the other provider, until somebody answers it
 * with something other than 5xx. Undefined where nobody did within 30 s.
 */
export async function persist<A extends { status: number }>(
  actor: Actor,
  about: { op: string; subjects: string[] },
  attempt: (via: number, since: number) => Promise<A>,
): Promise<A | undefined> {
  const since = actor.now();
  for (let via = eitherProvider(actor); actor.now() - since < longestRetryMs; via = 1 - via) {
    const answer = await attempt(via, since);
    if (answer.status !== 0 && answer.status < 500) return answer;
    await new Promise((resolve) => setTimeout(resolve, actor.random.int(50, 250)));
  }
  actor.history.add({ type: 'gave_up', at: actor.now(), since, ...about });
  return undefined;
}
