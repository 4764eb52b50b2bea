/** The log: pino, with lines of JSON, or plain text on a terminal. Fields with the name of a secret are redacted. */
import pino from 'pino';

export type Log = pino.Logger;

const secretNames = [
  'password',
  'secret',
  'client_secret',
  'code',
  'code_verifier',
  'token',
  'access_token',
  'refresh_token',
  'id_token',
  'id_token_hint',
  'ke1',
  'ke2',
  'ke3',
  'record',
  'cookie',
  'authorization',
  'set-cookie',
  'recovery_codes',
];

/** Makes the root logger. `level` is one of pino's, or `silent`. */
export function createLog(level: string, destination?: pino.DestinationStream): Log {
  const paths = secretNames.flatMap((name) => {
    const key = name.includes('-') ? `["${name}"]` : name;
    return [key, `*${key.startsWith('[') ? '' : '.'}${key}`, `*.*${key.startsWith('[') ? '' : '.'}${key}`];
  });
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths, censor: '[redacted]' },
    // Errors of libraries contain sockets, requests and connection settings. So only named fields of them are logged.
    serializers: { cause: describeCause },
  };
  return destination ? pino(options, destination) : pino(options);
}

/** A destination that writes lines for people instead of JSON, for a log that is read on a terminal. */
export async function forTerminal(
  destination: NodeJS.WritableStream = process.stdout,
): Promise<pino.DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({ destination, colorize: true, translateTime: 'SYS:HH:MM:ss', sync: true });
}

/** Counts events that may happen a thousand times a second. Calls `tell` with their number, at most once a second. */
export function countTogether(tell: (count: number) => void): () => void {
  let count = 0;
  return () => {
    count += 1;
    if (count > 1) return;
    setTimeout(() => {
      tell(count);
      count = 0;
    }, 1000).unref();
  };
}

function describeCause(cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause === undefined ? undefined : String(cause);
  const { name, message, stack } = cause;
  const errno = 'code' in cause ? String(cause.code) : undefined;
  return { name, message, errno, stack, cause: describeCause(cause.cause) };
}
