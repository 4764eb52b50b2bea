/**
 * Connects the tabs of one app. Tokens go from memory to memory (BroadcastChannel, this origin only) and are stored
 * nowhere. localStorage holds only the name of the newest tokens. From it, a tab that was suspended learns that its
 * own are used up, and a page that has just loaded learns that a sign-in without a page is worth trying.
 */

export interface Tabs<T extends { name: string }> {
  /** The name of the newest tokens of any tab. Undefined if nobody is signed in. */
  newest(): string | undefined;
  setNewest(name: string | undefined): void;
  /** Runs `work` in one tab at a time (Web Locks). A tab that is closed releases the lock. */
  exclusively<R>(work: () => Promise<R>): Promise<R>;
  /** Notifies the other tabs of new tokens, or of the end of the session. */
  announce(news: { tokens: T } | { over: 'signed_out' | 'ended' }): void;
  /** Asks the other tabs for the tokens of this name. Undefined if none answers in time. */
  ask(name: string, withinMs: number): Promise<T | undefined>;
}

interface TabsOptions<T> {
  name: string;
  /** This tab's tokens. */
  mine(): T | undefined;
  onTokens(tokens: T): void;
  onOver(over: 'signed_out' | 'ended'): void;
}

type Message<T> = { tokens: T } | { over: 'signed_out' | 'ended' } | { wanted: string };

export function createTabs<T extends { name: string }>({
  name,
  mine,
  onTokens,
  onOver,
}: TabsOptions<T>): Tabs<T> {
  const channel = new BroadcastChannel(name);
  const waiting = new Set<(tokens: T) => void>();
  const send = (message: Message<T>) => channel.postMessage(message);

  channel.onmessage = ({ data }: MessageEvent<Message<T>>) => {
    if ('wanted' in data) {
      const tokens = mine();
      if (tokens?.name === data.wanted) send({ tokens });
    } else if ('over' in data) onOver(data.over);
    else {
      onTokens(data.tokens);
      for (const answer of waiting) answer(data.tokens);
    }
  };

  return {
    newest: () => localStorage.getItem(name) ?? undefined,
    setNewest(newest) {
      if (newest === undefined) localStorage.removeItem(name);
      else localStorage.setItem(name, newest);
    },
    exclusively: (work) => navigator.locks.request(name, work) as Promise<Awaited<ReturnType<typeof work>>>,
    announce: send,
    ask(wanted, withinMs) {
      return new Promise((resolve) => {
        const finish = (tokens: T | undefined) => {
          waiting.delete(answer);
          clearTimeout(timer);
          resolve(tokens);
        };
        const answer = (tokens: T) => {
          if (tokens.name === wanted) finish(tokens);
        };
        const timer = setTimeout(() => finish(undefined), withinMs);
        waiting.add(answer);
        send({ wanted });
      });
    },
  };
}
