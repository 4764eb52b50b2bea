/** The whole sign-in: authorize → KE1 → KE3 → TOTP → code → tokens, each by a person of their own in a new browser. */
import { diskUseOf, waitsGoal, walOf } from '../disk.ts';
import { closedLoop } from '../load.ts';
import { inTurns } from '../rounds.ts';
import { signIn } from '../sign_in.ts';
import { type Work, whole } from '../work.ts';

export const login: Work = {
  name: 'login',
  async run({ options, cypher, betterAuth, opaque, told }) {
    const { figures, ratios } = await inTurns(
      [cypher, { ...betterAuth, name: 'better-auth, password alone' }],
      async (subject) => () =>
        closedLoop(12, { seconds: options.blockSeconds }, async () => {
          if (subject === cypher) await signIn(cypher);
          else await betterAuth.signIn();
        }),
      { rounds: options.rounds, told },
    );
    const [own] = figures;
    const perCoreSecond = own?.perCoreSecond ?? Number.NaN;
    told('what it has written');
    // One login in six splits a page of an index, in waves: over fewer of them the figure is chance.
    const disk = await diskUseOf(cypher.databaseUrl, options.quick ? 100 : 300, () => signIn(cypher));
    return {
      title: 'full login (authorize → KE1 → KE3 → TOTP → code → tokens)',
      figures,
      ratios,
      goals: [
        {
          goal: 'at least 150 per server core second',
          figure: `${whole(perCoreSecond)} (${whole(own?.perSecond ?? Number.NaN)} a second by the clock)`,
          met: perCoreSecond >= 150,
        },
        waitsGoal(3, disk),
        { goal: 'at most 8000 bytes of WAL', figure: walOf(disk), met: disk.walBytes <= 8000 },
      ],
      notes: [
        'better-auth: the password alone, no second factor, no code, no tokens',
        `the browser's share: KE1 ${opaque.cost.ke1Ms.toFixed(1)} ms (made ahead), KE3 ${opaque.cost.ke3Ms().toFixed(1)} ms ` +
          'without stretching, in a thread on the other core; where the server is not busy, that core is the limit',
        'six requests a login; pages and assets are not fetched',
      ],
    };
  },
};
