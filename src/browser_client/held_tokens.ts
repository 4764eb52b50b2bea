/** Holds the tokens of this tab, and the state that the app sees. Starts their renewal before they expire. */
import type { TokenAnswer } from './protocol.ts';
import type { IdTokenClaims, SessionState, SignedOutReason } from './types.ts';

export interface Tokens extends TokenAnswer {
  /** The name of this generation of tokens, by which tabs refer to it. */
  name: string;
  claims: IdTokenClaims;
}

export interface HeldTokensOptions {
  /** Whether the tokens of this name are the newest of all tabs. */
  isNewest(name: string): boolean;
  renew(): Promise<void>;
}

/** A token is renewed when this part of its lifetime is left, or one minute if that is less. */
const lastPart = 0.1;
const longestLastMs = 60_000;
/** The pause after a renewal that failed. */
const laterMs = 15_000;
/** With more than this, a timer fires immediately. */
const longestTimerMs = 2 ** 31 - 1;

export function createHeldTokens({ isNewest, renew }: HeldTokensOptions) {
  const listeners = new Set<(state: SessionState) => void>();
  let state: SessionState = { status: 'starting' };
  let tokens: Tokens | undefined;
  let renewAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function become(next: SessionState): SessionState {
    state = next;
    for (const listener of listeners) listener(next);
    return next;
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (!tokens?.refreshToken) return;
    const attempt = () => renew().catch(() => schedule(laterMs));
    timer = setTimeout(attempt, Math.min(Math.max(ms, 0), longestTimerMs));
  }

  return {
    state: () => state,
    current: () => tokens,
    isDue: () => Date.now() >= renewAt,
    become,
    /** Takes over these tokens, unless a tab has newer ones or has signed out meanwhile. */
    adopt(next: Tokens): void {
      if (!isNewest(next.name)) return;
      tokens = next;
      const left = next.expiresAt - Date.now();
      renewAt = next.expiresAt - Math.min(longestLastMs, left * lastPart);
      schedule(renewAt - Date.now());
      become({ status: 'signed_in', claims: next.claims });
    },
    drop(reason: SignedOutReason): void {
      tokens = undefined;
      clearTimeout(timer);
      become({ status: 'signed_out', reason });
    },
    subscribe(listener: (state: SessionState) => void): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export type HeldTokens = ReturnType<typeof createHeldTokens>;
