/** Introspection of access tokens of signed-in people, by the API that they are for. */
import { basic } from '../http.ts';
import { cannon } from '../load.ts';
import { tokensOf } from '../oauth.ts';
import { inTurns } from '../rounds.ts';
import type { Subject } from '../subjects/subject.ts';
import { ratioGoal, type Work } from '../work.ts';

const tokens = 120;

export const introspection: Work = {
  name: 'introspection',
  async run({ options, cypher, bare, betterAuth, told }) {
    const subjects = [cypher, bare, betterAuth];
    const requests = new Map<Subject, Parameters<typeof cannon>[1]>();
    for (const subject of subjects) {
      told(`${subject.name}: making ${tokens} tokens`);
      const made = await tokensOf(subject, tokens);
      const headers = {
        authorization: basic(subject.api),
        'content-type': 'application/x-www-form-urlencoded',
      };
      requests.set(
        subject,
        made.map(({ access_token }) => ({
          method: 'POST',
          path: subject.paths.introspection,
          headers,
          body: new URLSearchParams({ token: access_token }).toString(),
        })),
      );
    }
    const load = { connections: 32, seconds: options.blockSeconds };
    const { figures, ratios } = await inTurns(
      subjects,
      async (subject) => () => cannon(subject.origin, requests.get(subject) ?? [], load),
      { rounds: options.rounds, told },
    );
    return {
      title: 'introspection of an access token',
      figures,
      ratios,
      goals: [ratioGoal(1, ratios[0], 'bare, in memory')],
      notes: [
        'Cypher asks PostgreSQL for revocations at every introspection; bare looks into a Map.',
        `the same ${tokens} tokens come round: a server that remembered opened tokens would gain by that`,
      ],
    };
  },
};
