/** The plot: CPU milliseconds an operation, Cypher's beside the peers', as an SVG that reads on light and on dark. */
import { totalMs } from './report.ts';
import type { Figures } from './rounds.ts';
import type { Result } from './work.ts';

const width = 720;
const label = 230;
const barHeight = 14;
const step = 18;
const longest = width - label - 110;

/** One group of bars a work, each scaled to its own longest: works differ by more than a bar can show. */
export function plot(results: Result[]): string {
  const shown = results.filter(({ figures }) => figures.length > 1);
  const parts: string[] = [];
  let y = 34;
  for (const { title, figures } of shown) {
    parts.push(text(0, y + 11, title.replace(/ \(.*/, ''), 'title'));
    y += 20;
    const most = Math.max(...figures.map(totalMs));
    for (const [index, subject] of figures.entries()) {
      parts.push(...bar(subject, y, most, index === 0 ? 'own' : 'peer'));
      y += step;
    }
    y += 10;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img"
  aria-label="CPU milliseconds an operation, Cypher beside its peers">
<style>
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .title { font-weight: 600; fill: #24292f }
  .own { fill: #0a7d6c } .own-storage { fill: #6cc5b6 } .peer { fill: #9aa4af } .peer-storage { fill: #ccd3da }
  @media (prefers-color-scheme: dark) {
    text { fill: #8b949e } .title { fill: #e6edf3 }
    .own { fill: #2ea896 } .own-storage { fill: #1b6b5f } .peer { fill: #57606a } .peer-storage { fill: #373e47 }
  }
</style>
${text(0, 12, 'CPU milliseconds an operation, less is better (lighter: PostgreSQL and Redis); each group has its own scale', '')}
${parts.join('\n')}
</svg>
`;
}

function bar(figures: Figures, y: number, most: number, kind: string): string[] {
  const { name, cpuMs } = figures;
  const total = totalMs(figures);
  const full = (total / most) * longest;
  const server = (cpuMs.server / most) * longest;
  const rect = (x: number, length: number, name: string) =>
    `<rect class="${name}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(1, length).toFixed(1)}" height="${barHeight}"/>`;
  return [
    text(label - 8, y + 11, name, '', 'end'),
    rect(label, server, kind),
    ...(full - server >= 1 ? [rect(label + server, full - server, `${kind}-storage`)] : []),
    text(label + full + 6, y + 11, `${total.toFixed(total < 10 ? 2 : 0)} ms`, ''),
  ];
}

const escaped = (value: string) => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const text = (x: number, y: number, value: string, kind: string, anchor = 'start'): string =>
  `<text x="${x.toFixed(1)}" y="${y}"${kind ? ` class="${kind}"` : ''} text-anchor="${anchor}">${escaped(value)}</text>`;
