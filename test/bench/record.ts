/**
 * `--record`: what was measured, kept for readers. costs.json has the latest result of each work, so that a run may
 * be made in pieces; from all of them come the plot, costs.svg, and the table between the marks in the README.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plot } from './plot.ts';
import { markdownTable } from './report.ts';
import type { Result } from './work.ts';

const file = (name: string) => join(import.meta.dirname, name);
const readme = file('../../README.md');
const [begin, end] = ['<!-- npm run bench -- --record -->', '<!-- end -->'];

interface Recorded {
  machine: string;
  results: Result[];
}

/** `order`: the works' names as they are shown. */
export function record(machine: string, results: Result[], order: string[]): void {
  const before: Recorded = existsSync(file('costs.json'))
    ? JSON.parse(readFileSync(file('costs.json'), 'utf8'))
    : { machine, results: [] };
  // Figures of two machines say nothing beside one another.
  const kept = before.machine === machine ? before.results : [];
  const all = order.flatMap((name) => [...results, ...kept].find(({ work }) => work === name) ?? []);
  writeFileSync(file('costs.json'), `${JSON.stringify({ machine, results: all }, null, 2)}\n`);
  writeFileSync(file('costs.svg'), plot(all));
  const text = readFileSync(readme, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no ${begin} … ${end}`);
  const image = '![CPU time of an operation, beside its peers](test/bench/costs.svg)';
  const table = `${begin}\n${image}\n\n${machine}:\n\n${markdownTable(all)}`;
  writeFileSync(readme, text.slice(0, from) + table + text.slice(to));
}
