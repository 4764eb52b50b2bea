/**
 * What the virtual clients do. Which operation runs when follows from the seed. How operations interleave depends on
 * the machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCaller } from './caller.ts';
import type { Deployment } from './deployment.ts';
import { changePassword, disable, signOutEverywhere } from './operations_account.ts';
import { anotherApp, connectDevice, openTwoTabs, signIn, signUp } from './operations_arrive.ts';
import { revokeFamily, signOut, tryEnded } from './operations_end.ts';
import { followInLockstep } from './operations_lockstep.ts';
import { replayCode, replayFactor, replayLogin } from './operations_once.ts';
import { loseAnswer, rotate, rotateInTabs, stealCurrentToken, stealOldToken } from './operations_refresh.ts';
import { type Random, weighted } from './random.ts';
import { type Actor, alive, Interrupted } from './world.ts';

/** An operation; its name is the function's. */
type Perform = (actor: Actor) => Promise<void>;

interface Operation {
  weight: number;
  /** What an actor must have for it. */
  needs: 'nothing' | 'person' | 'session' | 'family';
  run: Perform;
}

const operations: Record<string, Operation> = {
  signUp: { weight: 2, needs: 'nothing', run: signUp },
  signIn: { weight: 5, needs: 'person', run: signIn },
  anotherApp: { weight: 10, needs: 'session', run: anotherApp },
  openTwoTabs: { weight: 5, needs: 'session', run: openTwoTabs },
  rotate: { weight: 30, needs: 'family', run: rotate },
  rotateInTabs: { weight: 15, needs: 'family', run: rotateInTabs },
  loseAnswer: { weight: 10, needs: 'family', run: loseAnswer },
  stealOldToken: { weight: 4, needs: 'family', run: stealOldToken },
  followInLockstep: { weight: 2, needs: 'family', run: followInLockstep },
  stealCurrentToken: { weight: 3, needs: 'family', run: stealCurrentToken },
  replayCode: { weight: 5, needs: 'session', run: replayCode },
  replayLogin: { weight: 4, needs: 'person', run: replayLogin },
  replayFactor: { weight: 4, needs: 'person', run: replayFactor },
  revokeFamily: { weight: 5, needs: 'family', run: revokeFamily },
  signOut: { weight: 3, needs: 'session', run: signOut },
  connectDevice: { weight: 4, needs: 'session', run: connectDevice },
  changePassword: { weight: 2, needs: 'session', run: changePassword },
  signOutEverywhere: { weight: 1, needs: 'session', run: signOutEverywhere },
  // Two processes each time.
  disable: { weight: 0.5, needs: 'person', run: disable },
  tryEnded: { weight: 5, needs: 'person', run: tryEnded },
};

const weights = Object.fromEntries(Object.entries(operations).map(([name, { weight }]) => [name, weight]));

export interface Workload {
  actors: Actor[];
  /** Operations by name: how many were done and how many a fault cut short. */
  counts: Map<string, { done: number; interrupted: number }>;
  /** Resolves when every actor has finished the operation that it was at when the time was up. */
  run(): Promise<void>;
}

/** What an actor does next, and how long it pauses in between. */
export interface Plan {
  next(actor: Actor): Perform;
  pauseMs: [least: number, most: number];
}

/** `clients` actors, each with its own people. */
export function createWorkload(
  deployment: Deployment,
  random: Random,
  clients: number,
  over: () => boolean,
  plan: Plan = { next: chosen, pauseMs: [5, 60] },
): Workload {
  const ports = deployment.providers.map(({ port }) => port);
  const { history, issuer, cypher } = deployment;
  const counts: Workload['counts'] = new Map();
  const actors = Array.from({ length: clients }, (_, number): Actor => {
    const own = { number, random: random.fork(number + 1), history, issuer, cypher };
    return {
      ...createCaller(ports, history, number),
      ...own,
      people: [],
      sessions: [],
      families: [],
      accessTokens: [],
      meanwhile: [],
      isOver: over,
    };
  });

  async function perform(actor: Actor, operation: Perform): Promise<void> {
    const count = counts.get(operation.name) ?? { done: 0, interrupted: 0 };
    counts.set(operation.name, count);
    try {
      await operation(actor);
      count.done += 1;
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      count.interrupted += 1;
    }
  }
  async function live(actor: Actor): Promise<void> {
    while (!over()) {
      await perform(actor, plan.next(actor));
      await sleep(actor.random.int(...plan.pauseMs));
    }
    await Promise.all(actor.meanwhile);
    await Promise.all(actor.families.flatMap(({ unread }) => unread.splice(0)));
  }
  return { actors, counts, run: async () => void (await Promise.all(actors.map(live))) };
}

const mostPeople = 12;

/** One by its weight, or what has to come before it. */
function chosen(actor: Actor): Perform {
  const { needs, run } = operations[weighted(actor.random, weights)] as Operation;
  if (actor.people.length === 0) return signUp;
  if (run === signUp && actor.people.length >= mostPeople) return signIn;
  const hasSession = alive(actor.sessions).length > 0;
  const hasFamily = alive(actor.families).length > 0;
  if (needs === 'family' && !hasFamily) return hasSession ? anotherApp : signIn;
  if (needs === 'session' && !hasSession) return signIn;
  return run;
}
