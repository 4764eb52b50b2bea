/** OPAQUE's login/init over HTTP: the account, the failure count and the kept state included. */
import type { Jar } from '../http.ts';
import { expectStatus } from '../http.ts';
import { closedLoop } from '../load.ts';
import { newVerifier } from '../oauth.ts';
import { inTurns } from '../rounds.ts';
import { begin, sendKe1 } from '../sign_in.ts';
import type { Cypher } from '../subjects/cypher.ts';
import { type Work, whole } from '../work.ts';

/** So many browsers that stand at the password; each can send KE1 again and again. */
export async function atPassword(cypher: Cypher, count: number) {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const jar: Jar = new Map();
      const at = await begin(cypher, jar, newVerifier());
      return async () => {
        const { ke1 } = cypher.opaque.ke1();
        expectStatus(await sendKe1(cypher, jar, at, cypher.people.next(), ke1), 200);
      };
    }),
  );
}

export const loginInit: Work = {
  name: 'login_init',
  alone: true,
  async run({ options, cypher, told }) {
    const browsers = await atPassword(cypher, 16);
    const { figures } = await inTurns(
      [cypher],
      async () => () =>
        closedLoop(browsers.length, { seconds: options.blockSeconds }, async (worker) =>
          browsers[worker]?.(),
        ),
      { rounds: options.rounds, told },
    );
    const blockedMs = figures[0]?.cpuMs.server ?? Number.NaN;
    return {
      title: 'OPAQUE login/init, over HTTP',
      figures,
      ratios: [],
      goals: [],
      notes: [
        `one login/init takes ${blockedMs.toFixed(2)} ms of the server; ${whole(1000 / blockedMs)} fit a core second`,
      ],
    };
  },
};
