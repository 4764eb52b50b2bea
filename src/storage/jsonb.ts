/** Values as jsonb parameters. */
import { invalidRequest } from '../lib/errors.ts';

/**
 * `value` as text for a jsonb column. Throws AppError 400 if it holds the character NUL, which PostgreSQL cannot
 * store and which no valid request contains: https://www.postgresql.org/docs/18/datatype-json.html
 */
export function jsonb(value: object): string {
  const text = JSON.stringify(value);
  if (text.includes('\\u0000')) throw invalidRequest('A parameter holds a character that no text may hold.');
  return text;
}
