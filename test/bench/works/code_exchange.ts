/** Redeeming authorization codes for access, refresh and ID tokens. */
import { diskUseOf, waitsGoal, walOf } from '../disk.ts';
import { closedLoop } from '../load.ts';
import { codesOf, redeem } from '../oauth.ts';
import { inTurns } from '../rounds.ts';
import { ratioGoal, type Work } from '../work.ts';

export const codeExchange: Work = {
  name: 'code_exchange',
  async run({ options, cypher, bare, betterAuth, told }) {
    const count = options.quick ? 600 : 2000;
    const { figures, ratios } = await inTurns(
      [cypher, bare, betterAuth],
      async (subject) => {
        const codes = await codesOf(subject, count, 20);
        return () =>
          closedLoop(32, { operations: count }, async () => {
            const code = codes.pop();
            if (code) await redeem(subject, code);
          });
      },
      { rounds: options.rounds, told },
    );
    told('what it has written');
    const more = await codesOf(cypher, 100, 20);
    const disk = await diskUseOf(cypher.databaseUrl, more.length, async () => {
      const code = more.pop();
      if (code) await redeem(cypher, code);
    });
    return {
      title: 'code exchange',
      figures,
      ratios,
      goals: [ratioGoal(0.5, ratios[0], 'bare, in memory'), waitsGoal(1, disk)],
      notes: [`${count} codes a block, made beforehand`, `one exchange: ${walOf(disk)}`],
    };
  },
};
