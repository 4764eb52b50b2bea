/** A start on a database that is in use: until the first answer, and what the process then holds while nobody comes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../statistics.ts';
import { residentMb } from '../usage.ts';
import { type Work, whole } from '../work.ts';

const goals = { readyMs: 500, idleMb: 110 };
const idleAfterMs = 5000;

const spread = (values: number[]): string =>
  `${whole(median(values))} (${whole(Math.min(...values))} to ${whole(Math.max(...values))})`;

export const startUp: Work = {
  name: 'start_up',
  alone: true,
  async run({ options, cypher, told }) {
    const readyMs: number[] = [];
    const idleMb: number[] = [];
    // The first one compiles what is kept for those after it.
    for (let count = 0; count <= options.rounds; count += 1) {
      told(`start ${count} of ${options.rounds}`);
      const running = await cypher.startAnother();
      try {
        if (count === 0) continue;
        readyMs.push(running.readyMs);
        await sleep(idleAfterMs);
        idleMb.push(residentMb(running.pid));
      } finally {
        await running.stop();
      }
    }
    return {
      title: 'start on an existing database',
      figures: [],
      ratios: [],
      goals: [
        {
          goal: `first answer within ${goals.readyMs} ms`,
          figure: `${spread(readyMs)} ms`,
          met: median(readyMs) <= goals.readyMs,
        },
        {
          goal: `at most ${goals.idleMb} MB while idle`,
          figure: `${spread(idleMb)} MB`,
          met: median(idleMb) <= goals.idleMb,
        },
      ],
      notes: ['Node with its compiled code kept, as `npm start` and the container have it'],
    };
  },
};
