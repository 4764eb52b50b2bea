/** Whether the time of a login/init tells a known name from an unknown one: one request at a time, drawn at random. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expectStatus, type Jar } from '../http.ts';
import { newVerifier } from '../oauth.ts';
import { nameOf } from '../people.ts';
import { begin, sendKe1 } from '../sign_in.ts';
import { largestWelch, mean } from '../statistics.ts';
import type { Work } from '../work.ts';

const names = 1000;
const limit = 4.5;

export const userTiming: Work = {
  name: 'user_timing',
  alone: true,
  async run({ options, cypher, told }) {
    const count = options.quick ? 2000 : 100_000;
    let jar: Jar = new Map();
    let at = await begin(cypher, jar, newVerifier());
    let failed = 0;
    const ms: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] };
    // Of the same length, and charged equally often beforehand, so that only being known differs.
    const nameFor = {
      known: nameOf,
      unknown: (number: number) => nameOf(number).replace('person', 'nobody'),
    };
    const ask = async (kind: 'known' | 'unknown', number: number) => {
      const { ke1 } = cypher.opaque.ke1();
      const begun = performance.now();
      expectStatus(await sendKe1(cypher, jar, at, nameFor[kind](number), ke1), 200);
      return performance.now() - begun;
    };
    told('login/init by known and unknown names: warming up');
    for (let number = 0; number < names; number += 1) {
      await ask('known', number);
      await ask('unknown', number);
    }
    for (let index = 0; index < count; index += 1) {
      if (index % 100 === 0) told(`login/init by known and unknown names: ${index} of ${count}`);
      const kind = Math.random() < 0.5 ? 'known' : 'unknown';
      try {
        ms[kind].push(await ask(kind, Math.floor(Math.random() * names)));
      } catch (error) {
        // One that failed says nothing of time; that all fail is no result.
        failed += 1;
        if (failed > count / 100) throw error;
        await sleep(1000);
        jar = new Map();
        at = await begin(cypher, jar, newVerifier());
      }
    }
    const t = largestWelch(ms.known, ms.unknown);
    const difference = (mean(ms.known) - mean(ms.unknown)) * 1000;
    return {
      title: `known against unknown user, ${count} logins/init`,
      figures: [],
      ratios: [],
      goals: [
        {
          goal: `Welch's t below ${limit}`,
          figure: `${t.toFixed(2)} (means differ by ${difference.toFixed(0)} µs of ${mean(ms.known).toFixed(2)} ms)`,
          met: t < limit,
        },
      ],
      notes: [
        ...(options.quick ? [`--quick: ${count} instead of 100000`] : []),
        ...(failed > 0 ? [`${failed} requests FAILED and were left out`] : []),
      ],
    };
  },
};
