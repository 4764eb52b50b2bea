/** The documentation against the code: what it links to, names and lists is there, and its lists are complete. */
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { Command } from 'commander';
import { beforeAll, describe, expect, test } from 'vitest';
import { groups } from '../../src/cli/groups.ts';
import { loadConfig } from '../../src/config/load.ts';
import { settingsSchema } from '../../src/config/schema.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { type Recorded, withResults } from '../bench/record.ts';
import { filesIn } from '../support/repository.ts';

const root = new URL('../..', import.meta.url).pathname;
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const files = filesIn('.');
const pages = files.filter((path) => path.endsWith('.md'));
const tests = files.filter((path) => path.endsWith('.test.ts'));

interface Page {
  /** All but the blocks of code. */
  prose: string;
  blocks: { language: string; text: string }[];
}

/** A page taken apart at its fences. */
function takeApart(path: string): Page {
  const page: Page = { prose: '', blocks: [] };
  let block: Page['blocks'][number] | undefined;
  for (const line of read(path).split('\n')) {
    const [, language] = /^ *```(\w*)$/.exec(line) ?? [];
    if (language === undefined) {
      if (block) block.text += `${line}\n`;
      else page.prose += `${line}\n`;
    } else if (block) block = undefined;
    else {
      block = { language, text: '' };
      page.blocks.push(block);
    }
  }
  if (block) throw new Error(`${path}: a block of code has no end`);
  return page;
}

describe('links', () => {
  /** Where a page's relative links lead, as [path, anchor]. */
  function linksOf(page: string): [string, string][] {
    const text = takeApart(page).prose.replace(/`[^`\n]*`/g, '``');
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|\b(?:href|src)="([^"]+)"/g)].map(
      ([, link, attribute]) => link ?? attribute ?? '',
    );
    return targets
      .filter((target) => !/^[a-z]+:/.test(target))
      .map((target) => {
        const [path = '', anchor = ''] = target.split('#');
        return [path === '' ? page : posix.join(posix.dirname(page), path), anchor];
      });
  }

  /** The anchors that GitHub makes of the headings. */
  function anchorsOf(page: string): string[] {
    const headings = [...takeApart(page).prose.matchAll(/^#{1,6} (.+)$/gm)].map(
      ([, heading]) => heading ?? '',
    );
    return headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
        .replaceAll(' ', '-'),
    );
  }

  test('every link to a file and to a heading leads somewhere', () => {
    const broken = pages.flatMap((page) =>
      linksOf(page)
        .filter(([path, anchor]) => {
          if (!existsSync(join(root, path))) return true;
          return anchor !== '' && !anchorsOf(path).includes(anchor);
        })
        .map(([path, anchor]) => `${page} -> ${path}#${anchor}`),
    );
    expect(pages.length).toBeGreaterThan(20);
    expect(broken).toEqual([]);
  });

  test('every page of docs/ is linked from its table of contents', () => {
    const linked = linksOf('docs/README.md').map(([path]) => path);
    const missing = pages.filter((page) => page.startsWith('docs/') && !linked.includes(page));
    expect(missing).toEqual(['docs/README.md']);
  });

  test('every page that a message or a comment of the code names is there', () => {
    const named = files
      .filter((path) => /^(src|views|test)\//.test(path) && /\.(ts|ejs)$/.test(path))
      .flatMap((path) => [...read(path).matchAll(/\bdocs\/[\w/-]+\.md\b/g)].map(([page]) => page));
    expect([...new Set(named)].filter((page) => !pages.includes(page))).toEqual([]);
  });
});

describe('commands', () => {
  interface Line {
    page: string;
    text: string;
  }

  /** What the pages show as code: the lines of blocks, with what continues on the next line, and code within a sentence. */
  const lines: Line[] = pages.flatMap((page) => {
    const { prose, blocks } = takeApart(page);
    const inBlocks = blocks
      .filter(({ language }) => language === 'sh' || language === '')
      .flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'));
    const inline = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code ?? '');
    return [...inBlocks, ...inline].map((code) => ({ page, text: code.replace(/ #.*/, '') }));
  });

  const program = new Command('cypher');
  beforeAll(async () => {
    for (const [name, { load }] of Object.entries(groups)) (await load())(program.command(name));
  });

  /** What is wrong with the words after `npx cypher`; undefined where nothing is. */
  function faultIn(words: string[]): string | undefined {
    let command: Command = program;
    for (const word of words) {
      if (word.startsWith('-')) break;
      const next = command.commands.find((each) => each.name() === word);
      if (!next) {
        if (command.commands.length > 0) return `there is no command ${word}`;
        break;
      }
      command = next;
    }
    const known = ['--help', '--version', ...command.options.map(({ long }) => long)];
    return words.find((word) => word.startsWith('--') && !known.includes(word.replace(/=.*/, '')));
  }

  test('each `npx cypher` command and its options exist', () => {
    const shown = lines.flatMap(({ page, text }) =>
      [...text.matchAll(/(?:npx cypher|dist\/cli\.js)((?: [^|<>;&]+)?)/g)].map(([, rest = '']) => ({
        page,
        words: rest.trim().split(/\s+/).filter(Boolean),
      })),
    );
    expect(program.commands.length).toBeGreaterThan(4);
    expect(shown.length).toBeGreaterThan(30);
    const faults = shown.flatMap(({ page, words }) => {
      const fault = words[0] === '…' ? undefined : faultIn(words);
      return fault === undefined ? [] : [`${page}: npx cypher ${words.join(' ')}: ${fault}`];
    });
    expect(faults).toEqual([]);
  });

  test('each npm script exists', () => {
    const scripts = Object.keys(JSON.parse(read('package.json')).scripts);
    const named = lines.flatMap(({ page, text }) =>
      [...text.matchAll(/\bnpm (?:run )?(?:--silent )?(start|test\b|(?<=run )[\w:]+)/g)].map(
        ([, script = '']) => ({ page, script }),
      ),
    );
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter(({ script }) => !scripts.includes(script))).toEqual([]);
  });

  test('each test that a page names to run is there', () => {
    const named = lines.flatMap(({ page, text }) =>
      [...text.matchAll(/\bnpm test -- ([^`]*)/g)].flatMap(([, rest = '']) =>
        rest
          .split(/\s+/)
          .filter((word) => word.startsWith('test/') && !word.includes('NAME'))
          .map((filter) => ({ page, filter })),
      ),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter(({ filter }) => !tests.some((path) => path.includes(filter)))).toEqual([]);
  });

  test('each test of the table of protocols is there', () => {
    const rows = [...read('docs/protocols.md').matchAll(/^\|.*\| ((?:`\w+`(?:, )?)+) \|$/gm)];
    const names = rows.flatMap(([, cell = '']) => cell.match(/\w+/g) ?? []);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !tests.includes(`test/http/${name}.test.ts`))).toEqual([]);
  });

  test('each file that is run with node, or named as one of the sources, is there', () => {
    const named = lines.flatMap(({ page, text }) =>
      [...text.matchAll(/(?<![\w/.])((?:src|test|config|migrations)\/[\w./-]+\.\w+)/g)].map(
        ([, path = '']) => ({
          page,
          path,
        }),
      ),
    );
    expect(named.length).toBeGreaterThan(20);
    const isExample = (path: string) => /\b(NAME|NNNN)/.test(path);
    expect(named.filter(({ path }) => !isExample(path) && !files.includes(path))).toEqual([]);
  });
});

/** The rows of a page's tables: their cells. */
const rowsOf = (page: string): string[][] =>
  [...read(page).matchAll(/^\|(.+)\|$/gm)].map(([, row = '']) => row.split(' | ').map((cell) => cell.trim()));

describe('settings', () => {
  const page = 'docs/operate/configuration.md';
  const rows = rowsOf(page).flatMap(([name = '', standard = '']) => {
    const [, setting, mark] = /^`(\w+)`(ᶠ?)$/.exec(name) ?? [];
    return setting === undefined ? [] : [{ setting, ofFile: mark === 'ᶠ', standard }];
  });

  test('the page lists exactly the settings of the schema', () => {
    expect(rows.map(({ setting }) => setting).sort()).toEqual(Object.keys(settingsSchema.shape).sort());
  });

  test('with their defaults', () => {
    const defaults = settingsSchema.parse({}) as Record<string, unknown>;
    const wrong = rows.filter(({ setting, standard }) => {
      const value = defaults[setting];
      const isNone = value === undefined || (Array.isArray(value) && value.length === 0);
      return isNone ? !/^none\b/.test(standard) : standard !== `\`${String(value)}\``;
    });
    expect(wrong).toEqual([]);
  });

  test('and says which may come from a file', () => {
    const env = Object.fromEntries(rows.map(({ setting }) => [`${setting}_FILE`, '/nowhere']));
    let faults: string[] = [];
    try {
      loadConfig(root, env);
    } catch (error) {
      ({ faults } = error as { faults: string[] });
    }
    const readFrom = faults.flatMap((fault) => /^(\w+)_FILE cannot be read/.exec(fault)?.[1] ?? []);
    const marked = rows.filter(({ ofFile }) => ofFile).map(({ setting }) => setting);
    expect(marked.length).toBeGreaterThan(3);
    expect(marked.sort()).toEqual(readFrom.sort());
  });
});

describe('monitoring', () => {
  const page = 'docs/operate/monitoring.md';
  const wordsIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word ?? '');
  const section = (heading: string) =>
    rowsOf(page).filter((row) =>
      read(page).split(`\n${heading}\n`)[1]?.split('\n## ')[0]?.includes(row.join(' | ')),
    );

  test('the page lists exactly the metrics, with their labels', () => {
    const { registry } = createMetrics('1.2.3');
    // prom-client does not declare it.
    const labelsOf = (name: string) =>
      (registry.getSingleMetric(name) as unknown as { labelNames?: string[] }).labelNames ?? [];
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    const isOfTheProcess = (name: string) => /^cypher_(process|nodejs)_/.test(name);
    const rows = section('## Metrics').map(([metrics = '', labels = '']) => ({
      metrics: wordsIn(metrics),
      labels,
    }));
    const ours = rows
      .filter(({ metrics: [name = ''] }) => /^cypher_/.test(name) && !isOfTheProcess(name))
      .map(({ metrics, labels }) => [metrics.join(), wordsIn(labels).join()]);
    expect(ours.sort()).toEqual(
      names
        .filter((name) => !isOfTheProcess(name))
        .map((name) => [name, labelsOf(name).join()])
        .sort(),
    );
    // Some of them are not on every system.
    const listed = rows.flatMap(({ metrics }) => metrics).filter(isOfTheProcess);
    expect(names.filter((name) => isOfTheProcess(name) && !listed.includes(name))).toEqual([]);
  });

  test('every metric of the page exists', () => {
    const { registry } = createMetrics('1.2.3');
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    const mentioned = [...read(page).matchAll(/\bcypher_[a-z0-9_]+/g)].map(([name]) => name);
    const known = (name: string) => names.includes(name) || process.platform !== 'linux';
    expect([...new Set(mentioned)].filter((name) => !known(name))).toEqual([]);
  });

  /** The names in a union of literals. */
  function namesIn(type: string): string[] {
    const [, union = ''] = new RegExp(`type ${type} =([^;]+);`).exec(read('src/audit/audit.ts')) ?? [];
    return [...union.matchAll(/'([a-z_.]+)'/g)].map(([, name]) => name ?? '');
  }

  test('the page lists exactly the audit events, and marks those that cannot be lost', () => {
    const rows = section('## Audit events').filter(([cell = '']) => /^`[a-z_]+\.[a-z_]+`/.test(cell));
    const listed = rows.flatMap(([cell = '']) => wordsIn(cell));
    const marked = rows.flatMap(([cell = '']) => (cell.endsWith('●') ? wordsIn(cell) : []));
    const ends = namesIn('EndEventName');
    expect(ends.length).toBeGreaterThan(3);
    expect(marked.sort()).toEqual([...ends].sort());
    expect(listed.sort()).toEqual([...ends, ...namesIn('AuditEventName')].sort());
  });
});

test('the page of benchmarks shows what was recorded last', () => {
  const text = read('docs/benchmarks.md');
  const recorded = JSON.parse(read('test/bench/costs.json')) as Recorded[];
  expect(text).toBe(withResults(text, recorded));
  expect(() => withResults('a page without marks', recorded)).toThrow('docs/benchmarks.md');
});
