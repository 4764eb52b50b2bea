/** Renews the tokens, in one tab at a time, because a refresh token works once. */
import { SessionError } from './error.ts';
import type { HeldTokens, Tokens } from './held_tokens.ts';
import { type Protocol, randomText, type TokenAnswer } from './protocol.ts';
import type { Tabs } from './tabs.ts';

export interface RenewalParts {
  protocol: Protocol;
  tabs: Tabs<Tokens>;
  held: HeldTokens;
}

/** Together shorter than the provider's leeway of 10 s. Within it, a repeated refresh receives the same tokens. */
const retriesMs = [500, 1000, 2000, 4000];

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Makes these the tokens of all tabs. */
export function share({ tabs, held }: RenewalParts, next: Tokens): void {
  tabs.setNewest(next.name);
  held.adopt(next);
  tabs.announce({ tokens: next });
}

/** Returns a function that renews tokens that are due. Concurrent calls share one renewal. It throws SessionError. */
export function createRenewal(parts: RenewalParts): () => Promise<void> {
  let renewing: Promise<void> | undefined;
  /** Tokens whose refresh was sent and not answered. Their refresh token may have been used up. */
  let unanswered: Tokens | undefined;
  const refresh = (tokens: Tokens) =>
    repeated(parts.protocol, tokens, () => {
      unanswered = tokens;
    });
  return () => {
    renewing ??= parts.tabs
      .exclusively(() => renewAlone(parts, refresh, (tokens) => unanswered === tokens))
      .finally(() => {
        renewing = undefined;
      });
    return renewing;
  };
}

async function renewAlone(
  parts: RenewalParts,
  refresh: (tokens: Tokens) => Promise<TokenAnswer>,
  wasUnanswered: (tokens: Tokens) => boolean,
): Promise<void> {
  const { tabs, held } = parts;
  await takeNewest(parts);
  const before = held.current();
  if (!before) throw new SessionError('signed_out');
  if (!held.isDue()) return;
  const answer = await refresh(before).catch((error: unknown) => {
    if (error instanceof SessionError && error.code === 'provider_refused') {
      held.drop(wasUnanswered(before) ? 'lost' : 'ended');
      // Not removed, so that a reload tries to sign in without a page. No tab's tokens have this name.
      tabs.setNewest('renew');
      tabs.announce({ over: 'ended' });
      throw new SessionError('signed_out', error.detail, { cause: error });
    }
    throw error;
  });
  if (tabs.newest() !== before.name) throw new SessionError('signed_out');
  share(parts, { ...before, ...answer, idToken: answer.idToken ?? before.idToken, name: randomText() });
}

/** The other tab has just renewed its tokens, so it is there. Without its answer this tab is signed out. */
const answerMs = 10_000;

/** Takes over the newest tokens from the tab that has them. Throws if nobody is signed in any more. */
async function takeNewest({ tabs, held }: RenewalParts): Promise<void> {
  const newest = tabs.newest();
  const tokens = held.current();
  // While this tab waited for the others, it may have been notified that the session is over, and why.
  if (!tokens) throw new SessionError('signed_out');
  if (newest === undefined) {
    held.drop('signed_out');
    throw new SessionError('signed_out');
  }
  if (newest === tokens.name) return;
  // Another tab was faster, so this tab's tokens are used up. Sending them again would look like theft.
  const theirs = await tabs.ask(newest, answerMs);
  if (theirs) held.adopt(theirs);
  else if (held.current()) held.drop('lost');
}

/** If an answer is lost, sends the same token again: within its leeway, the provider repeats the answer. */
async function repeated(
  protocol: Protocol,
  { refreshToken }: Tokens,
  onUnanswered: () => void,
): Promise<TokenAnswer> {
  if (!refreshToken) throw new SessionError('provider_refused', 'no refresh token');
  for (const delay of [...retriesMs, undefined]) {
    try {
      const answer = await protocol.refresh(refreshToken);
      return { ...answer, refreshToken: answer.refreshToken ?? refreshToken };
    } catch (error) {
      if (!(error instanceof SessionError) || error.code !== 'provider_unreachable') throw error;
      onUnanswered();
      if (delay === undefined) throw error;
      await sleep(delay);
    }
  }
  throw new SessionError('provider_unreachable');
}
