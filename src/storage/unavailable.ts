/** Recognizes the errors that say that PostgreSQL cannot serve now. They are answered with 503. */
import { AppError, unavailable } from '../lib/errors.ts';
import { ConnectError } from './connection.ts';

/**
 * Class 08: connection exceptions. 40001, 40P01: a conflict that a repetition resolves. 53: insufficient resources. 57P: shutdown
 * and start-up. 57014: statement timeout. 25006: a standby that is not yet the primary. 25P03: a transaction that idled. 55000: a
 * database that is closed to connections. 58: system errors.
 * https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
const unavailableCodes = /^(08|40001|40P01|53|57P|57014|25006|25P03|55000|58)/;
const unavailableMessages =
  /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|not queryable|Query read timeout/;

/**
 * Returns AppError 503 with `error` as its cause if the database cannot serve now. Otherwise returns `error` itself.
 */
export function asUnavailable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = codeOf(error);
  const isAway =
    error instanceof ConnectError ||
    unavailableCodes.test(code) ||
    /^E[A-Z]+$/.test(code) ||
    unavailableMessages.test(error.message);
  return isAway ? unavailable(error) : error;
}

/** Whether `error` is the AppError 503 that says that PostgreSQL cannot serve. */
export const isUnavailable = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'temporarily_unavailable';

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : '');

/**
 * Whether PostgreSQL has undone a transaction although nothing is wrong with it, so that it may be run once more. 40001 and
 * 40P01: it met another one. 0A000: a migration has added a column to what a prepared statement returns.
 */
export function isUndone(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /^(40001|40P01)$/.test(codeOf(error)) || isStalePlan(error) || isUndone(error.cause);
}

/** The connection must be closed: it would refuse the statement for ever. */
export const isStalePlan = (error: unknown): boolean =>
  error instanceof Error && codeOf(error) === '0A000' && error.message.startsWith('cached plan');
