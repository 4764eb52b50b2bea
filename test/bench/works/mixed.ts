/** The mixed load at half of what saturates the server: how long people and apps wait on an ordinary busy day. */
import { closedLoop, openLoop } from '../load.ts';
import type { Figures } from '../rounds.ts';
import { quantile } from '../statistics.ts';
import { minus, ofProcess, residentMb } from '../usage.ts';
import { type Work, whole } from '../work.ts';
import { createMix } from './mix.ts';

const goalsMs = { token: 15, login: 60 };

export const mixed: Work = {
  name: 'mixed',
  alone: true,
  async run({ options, cypher, told }) {
    const seconds = options.quick ? 8 : 60;
    told('Cypher: making tokens');
    const operation = await createMix(cypher, 200);
    told('Cypher: mixed load, warming up');
    await closedLoop(24, { seconds: 2 }, () => operation(() => {}));
    told('Cypher: mixed load, saturation');
    const full = await closedLoop(24, { seconds: seconds / 2 }, () => operation(() => {}));
    const saturation = full.done / full.seconds;
    told('Cypher: mixed load at half of saturation');
    const heard: Record<'login' | 'token', number[]> = { login: [], token: [] };
    const [before, ownBefore] = [cypher.usage(), ofProcess(process.pid)];
    const load = await openLoop(saturation / 2, seconds, () => operation((kind, ms) => heard[kind].push(ms)));
    const used = minus(cypher.usage(), before);
    const otherCore = (ofProcess(process.pid) - ownBefore + used.postgres + used.redis) / load.seconds;
    const each = (cpuSeconds: number) => (cpuSeconds * 1000) / load.done;
    const figures: Figures = {
      name: cypher.name,
      perSecond: load.done / load.seconds,
      perCoreSecond: load.done / used.server,
      cpuMs: { server: each(used.server), postgres: each(used.postgres), redis: each(used.redis) },
      busy: used.server / load.seconds,
      p50Ms: quantile([...heard.login, ...heard.token], 0.5),
      p99Ms: quantile([...heard.login, ...heard.token], 0.99),
      rssMb: residentMb(cypher.pid),
      failed: load.failed,
      failure: load.failure,
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
        `saturation: ${whole(saturation)} operations a second, ${whole(saturation / 29.2)} logins among them; measured at ` +
          `half of it with arrivals at random for ${seconds} s`,
        `the load itself, its OPAQUE clients included, PostgreSQL and Redis kept the other core ${whole(100 * otherCore)} % busy: what waits there counts too`,
      ],
    };
  },
};
