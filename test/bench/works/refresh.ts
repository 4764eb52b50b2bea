/** Refreshing: each virtual client rotates its own token, one request after the other. */
import { diskUseOf, waitsGoal, walOf } from '../disk.ts';
import { closedLoop } from '../load.ts';
import { refresh as refreshWith, tokensOf } from '../oauth.ts';
import { totalMs } from '../report.ts';
import { type Block, inTurns, type RoundOptions } from '../rounds.ts';
import type { Cypher } from '../subjects/cypher.ts';
import { ratioGoal, two, type Work, whole } from '../work.ts';

const clients = 32;

export const refresh: Work = {
  name: 'refresh',
  async run({ options, cypher, bare, betterAuth, told }) {
    const refreshing: Block = async (subject) => {
      const tokens = (await tokensOf(subject, clients, 1)).map(({ refresh_token }) => refresh_token);
      return () =>
        closedLoop(clients, { seconds: options.blockSeconds }, async (worker) => {
          tokens[worker] = (await refreshWith(subject, tokens[worker] ?? '')).refresh_token;
        });
    };
    const rounds = { rounds: options.rounds, told };
    const { figures, ratios } = await inTurns([cypher, bare, betterAuth], refreshing, rounds);
    const idTokens = await comparedByIdToken(cypher, refreshing, rounds);
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
      notes: [
        'PostgreSQL runs with fsync and synchronous_commit on.',
        `one refresh: ${walOf(disk)}`,
        ...idTokens,
      ],
    };
  },
};

/** What the ID token of the answer costs: RS256 as above, beside ES256 and none at all. */
async function comparedByIdToken(cypher: Cypher, block: Block, rounds: RoundOptions): Promise<string[]> {
  const others = [cypher.withApp('es256'), cypher.withApp('no-id-token')];
  const { figures, ratios } = await inTurns([cypher, ...others], block, rounds);
  const [rs256, ...compared] = figures;
  const server = (ms: number) => `${two(ms)} ms of the server`;
  return compared.map((each, index) => {
    const { median = Number.NaN, low = Number.NaN, high = Number.NaN } = ratios[index] ?? {};
    const times = `${two(1 / median)} × (${two(1 / high)} to ${two(1 / low)})`;
    const cpu = `${two(totalMs(each))} ms of CPU, ${server(each.cpuMs.server)}`;
    const before = rs256 ? `${two(totalMs(rs256))} and ${two(rs256.cpuMs.server)} with RS256` : '';
    return `${each.name}: ${times} the refreshes a core second; ${cpu} (${before})`;
  });
}
