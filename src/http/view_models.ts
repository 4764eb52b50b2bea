/** What the larger pages are given. See views.ts. */

/** `form`: what is sent once the codes are kept. */
export interface RecoveryCodesView {
  codes: string[];
  form: { action: string; method: 'get' | 'post' };
  replacing: boolean;
}

/**
 * `id` is in the log. `hint`: what the person can do. `retryAfterSeconds`: when another attempt makes sense. `again`:
 * the same page may work in a moment. `app`: where to continue, if that is known to be the app's own address.
 */
export interface ErrorView {
  status: number;
  title: string;
  message: string;
  id: string;
  hint?: string | undefined;
  /** The part of the request that is wrong. Shown as text, never as a link. */
  sent?: string | undefined;
  retryAfterSeconds?: number | undefined;
  again: boolean;
  app?: { name: string; uri: string } | undefined;
}
