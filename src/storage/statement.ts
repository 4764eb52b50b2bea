/** Statements as values, so that writes which belong together can be one round trip and one commit. Pure. */

/** One statement with its parameters `$1`, `$2`, … */
export interface Statement {
  text: string;
  values: readonly unknown[];
}

/**
 * All of them as one statement: all are done or none, in no order, none sees what another wrote. The last one's rows are
 * returned. For statements that change different rows and use `$` for parameters alone.
 * https://www.postgresql.org/docs/18/queries-with.html#QUERIES-WITH-MODIFYING
 */
export function together(first: readonly Statement[], last: Statement): Statement {
  const values: unknown[] = [];
  const renumbered = ({ text, values: own }: Statement): string => {
    const offset = values.length;
    values.push(...own);
    return text.replace(/\$(\d+)/g, (_, number) => `$${Number(number) + offset}`);
  };
  const clauses = first.map((statement, index) => `write_${index + 1} as (${renumbered(statement)})`);
  const text = renumbered(last);
  return { text: clauses.length > 0 ? `with ${clauses.join(', ')} ${text}` : text, values };
}
