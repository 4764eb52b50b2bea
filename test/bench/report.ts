/** Results in words: the lines of a terminal, the verdicts at the end, the Markdown table of docs/benchmarks.md. */
import type { Figures, Ratio } from './rounds.ts';
import { type Goal, type Result, two, whole } from './work.ts';

const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

/** One work: a line a subject, a line a comparison, the notes. */
export function describe({ work, title, figures, ratios, notes }: Result): string {
  return [
    `\n${work}: ${title}`,
    ...figures.map(subjectLine),
    ...ratios.map(ratioLine),
    ...notes.map((note) => `  (${note})`),
  ].join('\n');
}

function subjectLine(figures: Figures): string {
  const { name, perSecond, perCoreSecond, cpuMs, busy, p50Ms, p99Ms, rssMb, failed, failure } = figures;
  const storage = cpuMs.postgres + cpuMs.redis;
  const parts =
    storage > 0
      ? `${ms(cpuMs.server)} server + ${ms(cpuMs.postgres)} PostgreSQL + ${ms(cpuMs.redis)} Redis`
      : `${ms(cpuMs.server)} server`;
  return [
    `  ${name.padEnd(34)} ${whole(perSecond)}/s (server ${whole(busy * 100)} % busy), ${whole(perCoreSecond)} a core second`,
    `  ${''.padEnd(34)} CPU ms each: ${parts}; p50 ${ms(p50Ms)} ms, p99 ${ms(p99Ms)} ms; ` +
      `RSS ${whole(rssMb)} MB${failed > 0 ? `; ${failed} FAILED (the first: ${failure})` : ''}`,
  ].join('\n');
}

const ratioLine = ({ to, median, low, high, byClock }: Ratio): string =>
  `  to ${to}: ${two(median)} × a core second (${two(low)} to ${two(high)}), ${two(byClock)} × by the clock`;

/** The last lines: one a goal. */
export const verdicts = (results: Result[]): string[] =>
  results.flatMap(({ work, goals }) => goals.map((goal) => verdict(work, goal)));

const verdict = (work: string, { goal, figure, met }: Goal): string =>
  `${met ? 'met   ' : 'MISSED'}  ${work.padEnd(18)} ${goal}: ${figure}`;

/** The table, Markdown: what an operation costs here and at the peers, and what became of the goals. */
export function markdownTable(results: Result[]): string {
  const rows = results.flatMap(({ title, figures: [own, ...peers], goals }) => {
    const cells = [
      title,
      own ? cost(own) : '',
      peers.map((peer) => `${peer.name}: ${cost(peer)}`).join('; '),
    ];
    return goals.map(
      ({ goal, figure, met }, index) =>
        `| ${(index === 0 ? cells : ['', '', '']).join(' | ')} | ${goal} | ${figure} | ${met ? 'met' : '**missed**'} |`,
    );
  });
  return [
    '| work | CPU each | at the peers | goal | measured | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

const cost = (figures: Figures): string => `${ms(totalMs(figures))} ms`;

/** CPU milliseconds of all parts. */
export const totalMs = ({ cpuMs }: Figures): number => cpuMs.server + cpuMs.postgres + cpuMs.redis;
