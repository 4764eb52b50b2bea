/**
 * `--record`: what was measured, kept for readers. costs.json has the latest result of each work on each machine, which goes by
 * what its CPU calls itself, so that a run may be made in pieces. The plot, costs.svg, and the table between the marks in
 * docs/benchmarks.md are those of the machine with the most; the others' are folded below it: figures of two machines say
 * nothing beside one another.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plot } from './plot.ts';
import { markdownTable } from './report.ts';
import type { Result } from './work.ts';

const file = (name: string) => join(import.meta.dirname, name);
const page = file('../../docs/benchmarks.md');
const [begin, end] = ['<!-- npm run bench -- --record -->', '<!-- end -->'];

export interface Recorded {
  machine: string;
  results: Result[];
}

/** `order`: the works' names as they are shown. */
export function record(machine: string, results: Result[], order: string[]): void {
  const recorded: Recorded[] = existsSync(file('costs.json'))
    ? JSON.parse(readFileSync(file('costs.json'), 'utf8'))
    : [];
  const kept = recorded.find((each) => each.machine === machine)?.results ?? [];
  const others = recorded.filter((each) => each.machine !== machine);
  const all = order.flatMap((name) => [...results, ...kept].find(({ work }) => work === name) ?? []);
  const machines = [{ machine, results: all }, ...others].sort(
    (one, other) => other.results.length - one.results.length,
  );
  writeFileSync(file('costs.json'), `${JSON.stringify(machines, null, 2)}\n`);
  writeFileSync(file('costs.svg'), plot(machines[0]?.results ?? []));
  writeFileSync(page, withResults(readFileSync(page, 'utf8'), machines));
}

/** The text of the page with these results between its marks. Throws where it has no marks. */
export function withResults(text: string, [first, ...rest]: Recorded[]): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no ${begin} … ${end}`);
  const image = '![CPU time of an operation, beside its peers](../test/bench/costs.svg)';
  const table = `${begin}\n${image}\n\n${first?.machine}:\n\n${markdownTable(first?.results ?? [])}`;
  return text.slice(0, from) + [table, ...rest.map(folded)].join('\n') + text.slice(to);
}

const folded = ({ machine, results }: Recorded): string =>
  `<details><summary>${machine}</summary>\n\n${markdownTable(results)}\n</details>\n`;
