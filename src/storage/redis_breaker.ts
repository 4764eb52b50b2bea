/**
 * A circuit breaker for Redis. The first command that fails opens it. From then on no request waits for Redis, until a
 * write in the background has succeeded.
 */
import { endUnopened, type RedisClient } from './redis_client.ts';
import { refusalOf } from './redis_refusals.ts';

/** `degraded`: Redis cannot be written to. */
export type RedisState = 'ok' | 'degraded';

export interface RedisEvents {
  /** Called when the state changes, and when Redis gives another reason why it will not serve us. */
  onChange?(state: RedisState, cause?: Error): void;
  /** Called with the duration of each command in seconds. */
  observe?(seconds: number, ok: boolean): void;
}

const probeEveryMs = 500;
/** How long the start waits for the first write. */
const firstWriteWithinMs = 2000;

/** The breaker of `client`. `write` writes to every server that takes writes. */
export function createRedisBreaker(client: RedisClient, write: () => Promise<void>, events: RedisEvents) {
  let state: 'starting' | RedisState | 'stopped' = 'starting';
  let refused: string | undefined;
  let probing = false;
  let endStart: (wrote: boolean) => void = () => {};

  function degrade(error: Error): void {
    if (state === 'stopped') return;
    const reason = refusalOf(error);
    const isNews = state !== 'degraded' || (reason !== undefined && reason !== refused);
    refused = reason ?? refused;
    state = 'degraded';
    if (isNews) events.onChange?.(state, error);
    endStart(false);
  }
  function heal(): void {
    if (state === 'stopped') return;
    const isNews = state === 'degraded';
    state = 'ok';
    refused = undefined;
    if (isNews) events.onChange?.(state);
    endStart(true);
  }
  async function probe(reconnect: boolean): Promise<void> {
    endUnopened(client);
    if (state === 'ok' || state === 'stopped' || probing || client.status !== 'ready') return;
    probing = true;
    try {
      await write();
      heal();
    } catch (error) {
      degrade(error as Error);
      // It may be a primary that has become a replica, or that hangs. Its address may lead elsewhere by now.
      if (reconnect && client.status === 'ready') client.disconnect(true);
    }
    probing = false;
  }
  // Without a listener, an `error` event would end the process.
  client.on('error', degrade);
  client.on('close', () => degrade(new Error('the connection was closed')));
  client.on('ready', () => void probe(false));
  // What one server of a cluster says. The `error` of all of them does not repeat it.
  client.on('node error', (error: Error) => {
    refused ??= refusalOf(error);
  });
  const timer = setInterval(() => void probe(true), probeEveryMs).unref();

  return {
    state: (): RedisState => (state === 'ok' ? 'ok' : 'degraded'),
    /** Why Redis will not serve us before somebody changes a setting. Undefined if it did not say so. */
    refusal: () => refused,
    /** Resolves with whether the first write succeeded in time. */
    firstWrite: () =>
      new Promise<boolean>((resolve) => {
        endStart = resolve;
        setTimeout(() => {
          if (state === 'starting') degrade(new Error('Redis does not answer'));
        }, firstWriteWithinMs).unref();
      }),
    /** The answer of `command`. Undefined while Redis cannot be written to, and if the command fails. */
    async attempt<T>(command: () => Promise<T>): Promise<T | undefined> {
      if (state !== 'ok') return undefined;
      const started = performance.now();
      const observe = (ok: boolean) => events.observe?.((performance.now() - started) / 1000, ok);
      try {
        const answer = await command();
        observe(true);
        return answer;
      } catch (error) {
        observe(false);
        if (!isForeign(error as Error)) degrade(error as Error);
        return undefined;
      }
    },
    stop() {
      state = 'stopped';
      clearInterval(timer);
    },
  };
}

/** A key that holds what we never write. Somebody else wrote it, so it is not an outage. */
const isForeign = ({ message }: Error): boolean => /^WRONGTYPE|^ERR value is not an integer/.test(message);
