/**
 * What the tabs of one app tell each other. Tokens go from memory to memory (BroadcastChannel, this origin alone) and
 * are stored nowhere. In localStorage is only the name of the newest tokens: it tells a tab that has slept that its own
 * are used up, and a page that has just been loaded that a sign-in without a page is worth trying.
 */

export interface Tabs<T extends { name: string }> {
  /** The name of the newest tokens of any tab; undefined where nobody is signed in. */
  newest(): string | undefined;
  setNewest(name: string | undefined): void;
  /** Runs `work` in one tab at a time (Web Locks); a tab that is closed lets go. */
  exclusively<R>(work: () => Promise<R>): Promise<R>;
  /** Tells the others: these are the tokens now; or, that it is over. */
  announce(news: { tokens: T } | { over: 'signed_out' | 'ended' }): void;
  /** Asks the others for the tokens of this name. Undefined where none of them has answered in time. */
  ask(name: string): Promise<T | undefined>;
}

interface TabsOptions<T> {
  name: string;
  /** What this tab has. */
  mine(): T | undefined;
  onTokens(tokens: T): void;
  onOver(over: 'signed_out' | 'ended'): void;
}

type Message<T> = { tokens: T } | { over: 'signed_out' | 'ended' } | { wanted: string };

/** Tabs of one machine answer in a few milliseconds, those in the background in a few more. */
const answerMs = 500;

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
    ask(wanted) {
      return new Promise((resolve) => {
        const finish = (tokens: T | undefined) => {
          waiting.delete(answer);
          clearTimeout(timer);
          resolve(tokens);
        };
        const answer = (tokens: T) => {
          if (tokens.name === wanted) finish(tokens);
        };
        const timer = setTimeout(() => finish(undefined), answerMs);
        waiting.add(answer);
        send({ wanted });
      });
    },
  };
}
