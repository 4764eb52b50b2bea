/** Explains why the server cannot start, in a sentence that names the setting to change. Pure. */
import { causeOf } from '../lib/errors.ts';
import { type Config, ConfigError } from './load.ts';

/** sysexits.h: a configuration error. */
const EX_CONFIG = 78;

interface SystemFault extends Error {
  code?: string;
  port?: number;
  address?: string;
  syscall?: string;
}

/**
 * The text for standard error, and the exit code. It is 78 if a setting is wrong, and 1 otherwise. The text has the stack
 * unless the cause has a sentence of its own.
 */
export function explainStartFault(
  fault: SystemFault,
  config: Config | undefined,
): { message: string; code: number } {
  if (fault instanceof ConfigError || fault.name === 'WrongKeyEncryptionKey') {
    return { message: fault.message, code: EX_CONFIG };
  }
  if (isLate(causeOf(fault)))
    return {
      message: 'Cypher cannot start: PostgreSQL answers too late. Look at its log and load.',
      code: 1,
    };
  const sentence = config && explain(causeOf(fault), config);
  if (sentence !== undefined) return { message: `Cypher cannot start: ${sentence}`, code: EX_CONFIG };
  return { message: `Cypher cannot start: ${fault.stack}`, code: 1 };
}

/** 57014: PostgreSQL has ended a statement that took too long. */
const isLate = ({ code, message }: SystemFault): boolean =>
  code === '57014' || message === 'Query read timeout';

function explain(fault: SystemFault, config: Config): string | undefined {
  if (fault.syscall === 'listen') {
    const ofMetrics = fault.port === config.METRICS_PORT;
    const setting = ofMetrics ? 'METRICS_PORT' : 'PORT';
    if (fault.code === 'EADDRINUSE') {
      return `${setting} ${fault.port} is taken by another process: stop that one, or choose another ${setting}`;
    }
    if (fault.code === 'EACCES')
      return `${setting} ${fault.port} may not be used by this user: choose one above 1023`;
    return noAddress(ofMetrics ? 'METRICS_HOST' : 'HOST', config);
  }
  if (fault.syscall === 'getaddrinfo') {
    const setting = (['HOST', 'METRICS_HOST'] as const).find((name) => fault.message.includes(config[name]));
    if (setting) return noAddress(setting, config);
  }
  const setting = config.DATABASE_URL_FILE ? 'DATABASE_URL_FILE' : 'DATABASE_URL';
  if (fault.name === 'MigrationsMissing') return fault.message;
  const isOurs = fault.name === 'ConnectError' || refusals.test(fault.code ?? '');
  if (config.DATABASE_URL && isOurs)
    return `${setting} cannot be used: ${fault.message}${hints[fault.code ?? ''] ?? ''}`;
  if (fault.name === 'RedisRefused') return fault.message;
  if (/^Another provider runs on DATA_DIR/.test(fault.message)) return fault.message;
  return undefined;
}

/**
 * What PostgreSQL refuses because of a setting of ours or of its own: no connection, no permission, no schema, no writes.
 * https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
const refusals = /^(08|28|3D|3F|42501|25006|53|57)/;

/** What to do, where PostgreSQL's own message does not say it. */
const hints: Record<string, string> = {
  '25006': '. Name the primary, or all servers: postgres://user:password@one:5432,two:5432/database',
  '53300': '. Lower DATABASE_POOL_SIZE, or raise max_connections of PostgreSQL',
};

const noAddress = (setting: 'HOST' | 'METRICS_HOST', config: Config): string =>
  `${setting} ${config[setting]} is no address of this machine`;
