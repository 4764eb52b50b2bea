/**
 * Recognizes the errors of Redis that no waiting mends: a wrong password, a name that no sentinel knows, a certificate
 * that cannot be verified. Each becomes a sentence that completes "REDIS_URL cannot be used: …".
 */
import type { RedisHost, RedisTarget } from '../lib/redis_target.ts';
import { connectOnce } from './redis_client.ts';

/** Redis will not serve us until somebody changes a setting. The message is a whole sentence. */
export class RedisRefused extends Error {
  override readonly name = 'RedisRefused';
  constructor(reason: string) {
    super(`REDIS_URL cannot be used: ${reason}`);
  }
}

type Sentence = (message: string) => string;

/** The errors of Redis by their messages. Whatever is not here may pass by itself. */
const sentences: readonly (readonly [RegExp, Sentence])[] = [
  [/WRONGPASS|invalid password|invalid username-password/i, () => 'the user or the password is wrong'],
  [/NOAUTH|Authentication required/, () => 'Redis asks for a password'],
  [/NOPERM/, (message) => `the user is not allowed to do what is needed (${message})`],
  [/DB index is out of range/, () => 'Redis has no database of that number'],
  [/^MOVED /, () => 'it is a cluster: write redis+cluster:// in place of redis://'],
  [/cluster support disabled/, () => 'it is no cluster: write redis:// in place of redis+cluster://'],
  [/unknown command.*sentinel/i, () => 'there are no sentinels'],
  [/unknown command/i, (message) => `it is no Redis that keeps values, or one before version 6 (${message})`],
  [
    /alert (certificate required|bad certificate|unknown ca|handshake failure|certificate unknown)/i,
    (message) =>
      `Redis refuses the certificate of this server: set REDIS_CERTIFICATE and REDIS_KEY (${message})`,
  ],
  [
    /self[- ]signed certificate|unable to (get|verify)|certificate (has expired|is not yet valid)|does not match certificate/i,
    (message) =>
      `the certificate of Redis cannot be verified: ${message}. REDIS_CA must hold the CA that issued it`,
  ],
];

/** The sentence, or undefined for an error that may pass by itself, such as a refused connection. */
export function refusalOf({ message }: Error): string | undefined {
  return sentences.find(([pattern]) => pattern.test(message))?.[1](message);
}

const answerWithinMs = 1000;

/**
 * Asks each sentinel, or each host that is named of a cluster, on a connection of its own: a client of all of them
 * hides what each of them said. Returns undefined if one of them would serve us, or if none can be reached.
 */
export async function whyRefused(target: RedisTarget): Promise<string | undefined> {
  if (target.kind === 'single') return undefined;
  const answers = await Promise.all(target.hosts.map((host) => ask(target, host)));
  return answers.includes('serves') ? undefined : answers.find((answer) => answer !== 'is away');
}

/** `serves`, `is away`, or why it refuses us. */
async function ask(target: RedisTarget, host: RedisHost): Promise<string> {
  const connection = connectOnce(target, host, answerWithinMs);
  // The error of the connection says more than that of the command that waited for it.
  let failure: Error | undefined;
  connection.on('error', (error: Error) => {
    failure ??= error;
  });
  try {
    if (target.kind === 'cluster') {
      await connection.cluster('SLOTS');
      await connection.cluster('INFO');
      return 'serves';
    }
    const primary = await connection.call('SENTINEL', 'get-master-addr-by-name', target.name);
    return primary ? 'serves' : `the sentinels know no primary that is called "${target.name}"`;
  } catch (error) {
    const reason = refusalOf(failure ?? (error as Error));
    if (!reason) return 'is away';
    return target.kind === 'sentinel' ? `at the sentinels ${reason}` : reason;
  } finally {
    connection.disconnect();
  }
}
