/** The mixed load at half of what saturates the server: how long people and apps wait on an ordinary busy day. */
import { closedLoop, type Load, openLoop } from '../load.ts';
import type { Figures } from '../rounds.ts';
import { median, quantile, sum } from '../statistics.ts';
import { add, minus, ofProcess, residentMb, type Usage } from '../usage.ts';
import { type Work, whole } from '../work.ts';
import { createMix } from './mix.ts';

const goalsMs = { token: 15, login: 60 };

export const mixed: Work = {
  name: 'mixed',
  alone: true,
  async run({ options, cypher, told }) {
    const seconds = options.quick ? 4 : 12;
    told('Cypher: making tokens');
    const operation = await createMix(cypher, 200);
    told('Cypher: mixed load, warming up');
    await closedLoop(24, { seconds: 2 }, () => operation(() => {}));
    const heard: Record<'login' | 'token', number[]> = { login: [], token: [] };
    const saturations: number[] = [];
    const halves: Load[] = [];
    const used: Usage = { server: 0, postgres: 0, redis: 0 };
    let ownSeconds = 0;
    // Half of what the machine can do now: within a minute it may have become a third slower.
    for (let round = 1; round <= options.rounds; round += 1) {
      told(`Cypher: mixed load, saturation, round ${round} of ${options.rounds}`);
      const full = await closedLoop(24, { seconds: seconds / 2 }, () => operation(() => {}));
      const saturation = full.done / full.seconds;
      saturations.push(saturation);
      told(`Cypher: mixed load at half of saturation, round ${round} of ${options.rounds}`);
      const [before, ownBefore] = [cypher.usage(), ofProcess(process.pid)];
      halves.push(
        await openLoop(saturation / 2, seconds, () => operation((kind, ms) => heard[kind].push(ms))),
      );
      add(used, minus(cypher.usage(), before));
      ownSeconds += ofProcess(process.pid) - ownBefore;
    }
    const [done, measured] = [sum(halves.map((half) => half.done)), sum(halves.map((half) => half.seconds))];
    const otherCore = (ownSeconds + used.postgres + used.redis) / measured;
    const each = (cpuSeconds: number) => (cpuSeconds * 1000) / done;
    const figures: Figures = {
      name: cypher.name,
      perSecond: done / measured,
      perCoreSecond: done / used.server,
      cpuMs: { server: each(used.server), postgres: each(used.postgres), redis: each(used.redis) },
      busy: used.server / measured,
      p50Ms: quantile([...heard.login, ...heard.token], 0.5),
      p99Ms: quantile([...heard.login, ...heard.token], 0.99),
      rssMb: residentMb(cypher.pid),
      failed: sum(halves.map((half) => half.failed)),
      failure: halves.find((half) => half.failure)?.failure,
    };
    const goal = (kind: 'login' | 'token', what: string) => {
      const p99 = quantile(heard[kind], 0.99);
      return {
        goal: `p99 of ${what} at most ${goalsMs[kind]} ms`,
        figure: `${p99.toFixed(1)} ms of ${heard[kind].length}`,
        met: p99 <= goalsMs[kind],
      };
    };
    return {
      title:
        'mixed load at half of saturation (1 login : 8 refresh : 20 introspection : 0.1 logout : 0.1 wrong)',
      figures: [figures],
      ratios: [],
      goals: [goal('token', 'token endpoints'), goal('login', 'login steps')],
      notes: [
        `saturation: ${whole(median(saturations))} operations a second, ${whole(median(saturations) / 29.2)} logins among ` +
          `them; ${options.rounds} rounds of ${seconds / 2} s of it, then ${seconds} s at half of it with arrivals at random`,
        `the load itself, its OPAQUE clients included, PostgreSQL and Redis kept the other core ${whole(100 * otherCore)} % busy: what waits there counts too`,
      ],
    };
  },
};
