/** Three times as many login/inits as the server can do, from people who do not wait: a rush, or a flood of KE1. */

import type { Jar } from '../http.ts';
import { closedLoop, openLoop } from '../load.ts';
import { introspect, newVerifier, tokensOf } from '../oauth.ts';
import { begin, sendKe1 } from '../sign_in.ts';
import { quantile } from '../statistics.ts';
import { two, type Work, whole } from '../work.ts';
import { atPassword } from './login_init.ts';

/** An answer that comes later than this is of no use to anybody. */
const usefulWithinMs = 1000;
const refusedWithinMs = 100;

export const overload: Work = {
  name: 'overload',
  alone: true,
  async run({ options, cypher, told }) {
    const seconds = options.quick ? 5 : 20;
    const browsers = await atPassword(cypher, 32);
    told('Cypher: login/init, peak');
    await closedLoop(browsers.length, { seconds: 2 }, async (worker) => browsers[worker]?.());
    const peak = await closedLoop(browsers.length, { seconds }, async (worker) => browsers[worker]?.());
    const peakRate = peak.done / peak.seconds;

    told('Cypher: login/init, three times the peak');
    const jar: Jar = new Map();
    const at = await begin(cypher, jar, newVerifier());
    const [tokens] = await tokensOf(cypher, 1);
    const counts = { useful: 0, late: 0, refused: 0, other: 0 };
    const refusedMs: number[] = [];
    let flooding = true;
    const introspectionMs: number[] = [];
    const beside = (async () => {
      while (flooding) {
        const begun = performance.now();
        await introspect(cypher, tokens?.access_token ?? '').catch(() => {});
        introspectionMs.push(performance.now() - begun);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    await openLoop(peakRate * 3, seconds, async () => {
      const begun = performance.now();
      const { ke1 } = cypher.opaque.ke1();
      const answer = await sendKe1(cypher, jar, at, cypher.people.next(), ke1).catch(() => undefined);
      const ms = performance.now() - begun;
      if (answer?.status === 200) counts[ms <= usefulWithinMs ? 'useful' : 'late'] += 1;
      else if (answer?.status === 429 || answer?.status === 503) {
        counts.refused += 1;
        refusedMs.push(ms);
      } else counts.other += 1;
    });
    flooding = false;
    await beside;
    const goodput = counts.useful / seconds / peakRate;
    const slowest = quantile(refusedMs, 0.99);
    const unrefused = counts.late + counts.other;
    return {
      title: 'three times as many login/inits as the peak',
      figures: [],
      ratios: [],
      goals: [
        {
          goal: `goodput at least 0.8 of the peak (answered within ${usefulWithinMs} ms)`,
          figure: `${two(goodput)} of ${whole(peakRate)} a second`,
          met: goodput >= 0.8,
        },
        {
          goal: `the rest refused within ${refusedWithinMs} ms`,
          figure: `${counts.refused} refused, p99 ${whole(slowest)} ms; ${unrefused} answered late or not at all`,
          met: slowest <= refusedWithinMs && unrefused <= 0.01 * counts.refused,
        },
      ],
      notes: [
        `an introspection beside the flood takes ${whole(quantile(introspectionMs, 0.5))} ms (p99 ${whole(quantile(introspectionMs, 0.99))} ms)`,
      ],
    };
  },
};
