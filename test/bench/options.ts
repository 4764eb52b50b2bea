/** What the bench is asked for on the command line. */
import { parseArgs } from 'node:util';

export interface Options {
  json: boolean;
  /** Fewer and shorter blocks, smaller data: for a look, not for a figure to quote. */
  quick: boolean;
  /** Names of works; all where empty. */
  only: string[];
  /** Where the table is written; to stdout where absent. */
  markdown: string | undefined;
  /** Where the plot is written; nowhere where absent. */
  plot: string | undefined;
  rounds: number;
  blockSeconds: number;
}

const usage = `npm run bench -- [--quick] [--json] [--only name,name] [--markdown file] [--plot file]`;

/** Ends the process with the usage and the names of the works where the arguments make no sense. */
export function readOptions(works: string[]): Options {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        markdown: { type: 'string' },
        plot: { type: 'string' },
      },
    });
    const only = values.only.split(',').filter((name) => name !== '');
    const unknown = only.filter((name) => !works.includes(name));
    if (unknown.length > 0) throw new Error(`no work is called ${unknown.join(', ')}`);
    return {
      json: values.json,
      quick: values.quick,
      only,
      markdown: values.markdown,
      plot: values.plot,
      rounds: values.quick ? 2 : 5,
      blockSeconds: values.quick ? 2 : 4,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\nworks: ${works.join(' ')}\n`);
    process.exit(2);
  }
}
