/** Statements as values, so that several writes can be one round trip and one commit. Pure. */

/** One statement with its parameters `$1`, `$2`, … */
export interface Statement {
  text: string;
  values: readonly unknown[];
}

/**
 * Combines `queries` and `last` into one statement. The queries can be read by their names: their returned rows are
 * visible, but their writes are not. Either all writes take effect or none. The texts may use `$` for parameters
 * only. https://www.postgresql.org/docs/18/queries-with.html#QUERIES-WITH-MODIFYING
 */
export function withQueries(queries: Record<string, Statement>, last: Statement): Statement {
  const values: unknown[] = [];
  const renumbered = ({ text, values: own }: Statement): string => {
    const offset = values.length;
    values.push(...own);
    return text.replace(/\$(\d+)/g, (_, number) => `$${Number(number) + offset}`);
  };
  const clauses = Object.entries(queries).map(([name, query]) => `${name} as (${renumbered(query)})`);
  const text = renumbered(last);
  return { text: clauses.length > 0 ? `with ${clauses.join(', ')} ${text}` : text, values };
}

/** Statements that need no name of their own, for `withQueries`. */
export const unnamed = (statements: readonly Statement[]): Record<string, Statement> =>
  Object.fromEntries(statements.map((each, index) => [`write_${index + 1}`, each]));

/**
 * All as one statement, which returns the rows of `last`. The order is undefined, so no two may change the same row.
 */
export const together = (first: readonly Statement[], last: Statement): Statement =>
  withQueries(unnamed(first), last);
