/** Explains why the server cannot start, in a sentence that names the setting to change. Pure. */
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
 * The text for standard error, and the exit code. It is 78 if a setting is wrong. Otherwise it is 1, with the stack.
 */
export function explainStartFault(
  fault: SystemFault,
  config: Config | undefined,
): { message: string; code: number } {
  if (fault instanceof ConfigError || fault.name === 'WrongKeyEncryptionKey') {
    return { message: fault.message, code: EX_CONFIG };
  }
  const sentence = config && explain(fault, config);
  if (sentence !== undefined) return { message: `Cypher cannot start: ${sentence}`, code: EX_CONFIG };
  return { message: `Cypher cannot start: ${fault.stack}`, code: 1 };
}

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
  if (config.DATABASE_URL && /^(E[A-Z]+|28\w{3}|3D000)$/.test(fault.code ?? '')) {
    return `DATABASE_URL cannot be used: ${fault.message}`;
  }
  if (fault.name === 'RedisRefused') return fault.message;
  if (/^Another provider runs on DATA_DIR/.test(fault.message)) return fault.message;
  return undefined;
}

const noAddress = (setting: 'HOST' | 'METRICS_HOST', config: Config): string =>
  `${setting} ${config[setting]} is no address of this machine`;
