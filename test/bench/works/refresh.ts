/** Refreshing: each virtual client rotates its own token, one request after the other. */
import { diskUseOf, waitsGoal, walOf } from '../disk.ts';
import { closedLoop } from '../load.ts';
import { refresh as refreshWith, tokensOf } from '../oauth.ts';
import { inTurns } from '../rounds.ts';
import { ratioGoal, type Work, whole } from '../work.ts';

const clients = 32;

export const refresh: Work = {
  name: 'refresh',
  async run({ options, cypher, bare, betterAuth, told }) {
    const { figures, ratios } = await inTurns(
      [cypher, bare, betterAuth],
      async (subject) => {
        const tokens = (await tokensOf(subject, clients, 1)).map(({ refresh_token }) => refresh_token);
        return () =>
          closedLoop(clients, { seconds: options.blockSeconds }, async (worker) => {
            tokens[worker] = (await refreshWith(subject, tokens[worker] ?? '')).refresh_token;
          });
      },
      { rounds: options.rounds, told },
    );
    told('what it has written');
    let [token] = (await tokensOf(cypher, 1)).map(({ refresh_token }) => refresh_token);
    const disk = await diskUseOf(cypher.databaseUrl, 200, async () => {
      token = (await refreshWith(cypher, token ?? '')).refresh_token;
    });
    const perCoreSecond = figures[0]?.perCoreSecond ?? Number.NaN;
    return {
      title: 'refresh, durable in PostgreSQL',
      figures,
      ratios,
      goals: [
        ratioGoal(0.6, ratios[0], 'bare, in memory'),
        {
          goal: 'at least 1000 per server core second',
          figure: `${whole(perCoreSecond)} (${whole(figures[0]?.perSecond ?? Number.NaN)} a second by the clock)`,
          met: perCoreSecond >= 1000,
        },
        waitsGoal(1, disk),
      ],
      notes: ['PostgreSQL runs with fsync and synchronous_commit on.', `one refresh: ${walOf(disk)}`],
    };
  },
};
