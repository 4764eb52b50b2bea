/**
 * The run that counts: a given number of acknowledged rotations, while PostgreSQL and the providers are killed with
 * -9.
 */

import type { Run } from './carry_out.ts';
import type { Deployment } from './deployment.ts';
import { createInjector } from './faults.ts';
import { anotherApp, signUp } from './operations_arrive.ts';
import { loseAnswer, rotate, rotateInTabs } from './operations_refresh.ts';
import type { Random } from './random.ts';
import { createWorkload } from './workload.ts';
import { alive } from './world.ts';

/** Ends when `wanted` different successors were handed out. */
export function rotationsRun(deployment: Deployment, random: Random, clients: number, wanted: number): Run {
  const { history } = deployment;
  let done = 0;
  let seen = 0;
  const handedOut = new Set<string>();
  const over = () => {
    const events = history.events();
    for (; seen < events.length; seen++) {
      const event = events[seen];
      if (event?.type === 'call' && event.presents && event.yields) handedOut.add(event.yields);
    }
    done = handedOut.size;
    return done >= wanted;
  };
  const workload = createWorkload(deployment, random.fork(1), clients, over, {
    pauseMs: [0, 5],
    next(actor) {
      if (alive(actor.sessions).length === 0) return signUp;
      if (alive(actor.families).length < 2) return anotherApp;
      return actor.random.pick([rotate, rotate, rotate, rotateInTabs, loseAnswer]);
    },
  });
  const injector = createInjector(deployment, random.fork(2), {
    only: ['kill postgres', 'kill provider'],
    pauseMs: [500, 2000],
    over,
  });
  return { workload, injector, progress: () => `${done} of ${wanted} rotations` };
}
