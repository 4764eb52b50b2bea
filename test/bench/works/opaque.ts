/** OPAQUE's login/init: stock opaque-ts beside Cypher's native arithmetic, in processes that do nothing else. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onServerCore } from '../cores.ts';
import type { Figures, Ratio } from '../rounds.ts';
import { median, quantile, sum } from '../statistics.ts';
import { residentMb } from '../usage.ts';
import { ratioGoal, type Work } from '../work.ts';

interface Answer {
  latencies: number[];
  seconds: number;
  cpuSeconds: number;
}

async function startLoop(kind: 'native' | 'stock'): Promise<ChildProcess> {
  const [command, args] = onServerCore([join(import.meta.dirname, '../opaque_loop.ts'), kind]);
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

async function run(child: ChildProcess, count: number): Promise<Answer> {
  child.send({ count });
  const [answer] = await once(child, 'message');
  return answer as Answer;
}

const rate = (blocks: Answer[]) =>
  sum(blocks.map(({ latencies }) => latencies.length)) / sum(blocks.map(({ cpuSeconds }) => cpuSeconds));

function figuresOf(name: string, child: ChildProcess, blocks: Answer[]): Figures {
  const latencies = blocks.flatMap((block) => block.latencies);
  return {
    name,
    perSecond: median(blocks.map((block) => block.latencies.length / block.seconds)),
    perCoreSecond: median(blocks.map((block) => rate([block]))),
    cpuMs: { server: 1000 / rate(blocks), postgres: 0, redis: 0 },
    busy: sum(blocks.map(({ cpuSeconds }) => cpuSeconds)) / sum(blocks.map(({ seconds }) => seconds)),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    rssMb: residentMb(Number(child.pid)),
    failed: 0,
    failure: undefined,
  };
}

export const opaque: Work = {
  name: 'opaque',
  async run({ options, told }) {
    const native = await startLoop('native');
    const stock = await startLoop('stock');
    const counts = { native: options.quick ? 300 : 1500, stock: options.quick ? 10 : 40 };
    try {
      await run(native, counts.native);
      await run(stock, counts.stock);
      const rounds: { native: Answer[]; stock: Answer[] }[] = [];
      for (let round = 1; round <= options.rounds; round += 1) {
        told(`login/init in process: round ${round} of ${options.rounds}`);
        const first = await run(native, counts.native);
        const both = [await run(stock, counts.stock), await run(stock, counts.stock)];
        rounds.push({ native: [first, await run(native, counts.native)], stock: both });
      }
      const ratios = rounds.map((round) => rate(round.native) / rate(round.stock));
      const byClock = rounds.map(
        (round) =>
          counts.native /
          sum(round.native.map(({ seconds }) => seconds)) /
          (counts.stock / sum(round.stock.map(({ seconds }) => seconds))),
      );
      const to = 'opaque-ts, stock';
      const ratio: Ratio = {
        to,
        median: median(ratios),
        low: Math.min(...ratios),
        high: Math.max(...ratios),
        byClock: median(byClock),
      };
      const title = 'OPAQUE login/init, in process';
      const figures = [
        figuresOf(
          'Cypher',
          native,
          rounds.flatMap((round) => round.native),
        ),
        figuresOf(
          to,
          stock,
          rounds.flatMap((round) => round.stock),
        ),
      ];
      return { title, figures, ratios: [ratio], goals: [ratioGoal(30, ratio, 'stock opaque-ts')], notes: [] };
    } finally {
      native.kill();
      stock.kill();
    }
  },
};
