/** Client credentials: a machine's token, by client_secret_basic. */
import { basic } from '../http.ts';
import { cannon } from '../load.ts';
import { inTurns } from '../rounds.ts';
import { ratioGoal, type Work } from '../work.ts';

export const clientCredentials: Work = {
  name: 'client_credentials',
  async run({ options, cypher, bare, betterAuth, told }) {
    const load = { connections: 32, seconds: options.blockSeconds };
    const { figures, ratios } = await inTurns(
      [cypher, bare, betterAuth],
      async ({ origin, paths, machine }) => {
        const form = { grant_type: 'client_credentials', ...(machine.scope ? { scope: machine.scope } : {}) };
        const request = {
          method: 'POST' as const,
          path: paths.token,
          headers: {
            authorization: basic(machine),
            'content-type': 'application/x-www-form-urlencoded',
          },
          body: new URLSearchParams(form).toString(),
        };
        return () => cannon(origin, [request], load);
      },
      { rounds: options.rounds, told },
    );
    return {
      title: 'client credentials',
      figures,
      ratios,
      goals: [ratioGoal(0.8, ratios[0], 'bare, in memory')],
      notes: [],
    };
  },
};
