/** What the bench is asked for on the command line. */
import { parseArgs } from 'node:util';

export interface Options {
  json: boolean;
  /** Fewer and shorter blocks, smaller data: for a look, not for a figure to quote. */
  quick: boolean;
  /** Names of works; all where empty. */
  only: string[];
  /** Whether the table and plot of docs/benchmarks.md are to have the results. */
  record: boolean;
  rounds: number;
  blockSeconds: number;
}

const usage = `npm run bench -- [--quick] [--json] [--only name,name] [--record]`;

/** Ends the process with the usage and the names of the works where the arguments make no sense. */
export function readOptions(works: string[]): Options {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        record: { type: 'boolean', default: false },
      },
    });
    const only = values.only.split(',').filter((name) => name !== '');
    const unknown = only.filter((name) => !works.includes(name));
    if (values.quick && values.record) throw new Error('a --quick run has no figures to quote');
    if (unknown.length > 0) throw new Error(`no work is called ${unknown.join(', ')}`);
    return {
      json: values.json,
      quick: values.quick,
      only,
      record: values.record,
      rounds: values.quick ? 2 : 5,
      blockSeconds: 2,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\nworks: ${works.join(' ')}\n`);
    process.exit(2);
  }
}
