/**
 * What a command works with: the configuration and the database of the server, which may be running. A command opens
 * no port. It closes its connections, so that the process exits.
 */
import { userInfo } from 'node:os';
import { type Audit, createAudit } from '../audit/audit.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { createLog } from '../lib/log.ts';
import { root } from '../root.ts';
import { followDatabaseClock } from '../storage/clock.ts';
import { type Database, openDatabase, timeoutsOfCommand } from '../storage/database.ts';
import { runningPostgresUrl } from '../storage/embedded_postgres.ts';

export interface Stage {
  config: Config;
  database: Database;
  audit: Audit;
  now: () => number;
}

/**
 * Opens the database, runs `work`, writes the audit log and closes the database. Rejects with ConfigError, with the
 * error of `work`, or if the database cannot be reached.
 */
export async function onStage<T>(work: (stage: Stage) => Promise<T>): Promise<T> {
  const config = loadConfig(root);
  return stageAt(config, config.DATABASE_URL ?? (await runningPostgresUrl(config.DATA_DIR)), work);
}

/** The same with the database at `url`. */
export async function stageAt<T>(
  config: Config,
  url: string,
  work: (stage: Stage) => Promise<T>,
): Promise<T> {
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: timeoutsOfCommand });
  try {
    const { now, stop } = await followDatabaseClock(database);
    stop();
    const audit = createAudit(database, createLog('warn'), now, { by: 'command', user: userName() });
    return await work({ config, database, audit, now }).finally(audit.flush);
  } finally {
    await database.close();
  }
}

/** The name of the user who runs the command. In a container the user may have no name, only a number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

/** Prints one line on standard output. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** Prints the value as JSON, for scripts. */
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** Rows as lines with aligned columns. */
export function tableOf(rows: readonly string[][]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Prints rows with aligned columns. */
export function printTable(rows: readonly string[][]): void {
  for (const line of tableOf(rows)) print(line);
}
