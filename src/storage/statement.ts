/** Statements as values, so that writes which belong together can be one round trip and one commit. Pure. */

/** One statement with its parameters `$1`, `$2`, … */
export interface Statement {
  text: string;
  values: readonly unknown[];
}

/**
 * `last` with the other statements in the same one, as queries that it and each other may read by their names: what they return
 * is seen, what they write is not. All are done or none. For statements that use `$` for parameters alone.
 * https://www.postgresql.org/docs/18/queries-with.html#QUERIES-WITH-MODIFYING
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

/** All of them as one statement, in no order, for statements that change different rows. The last one's rows are returned. */
export const together = (first: readonly Statement[], last: Statement): Statement =>
  withQueries(unnamed(first), last);
