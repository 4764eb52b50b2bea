/**
 * Posts JSON to the steps of the interaction and of the account page, and explains to a person why one has failed.
 */

/** Why a step has failed. `status` 0: no answer arrived. */
export interface Failure {
  status: number;
  error: string;
  message: string;
  id: string;
  retryAfterSeconds: number;
}

export type Answer = { data: Record<string, unknown> } | { failure: Failure };

const TIMEOUT_MS = 30_000;

/** Posts `body`. Never rejects. Does not follow redirects, because no step answers JSON with one. */
export async function post(url: string, body: Record<string, unknown>): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const data: unknown = await response.json().catch(() => undefined);
    const fields = typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
    if (response.ok) return { data: fields };
    return {
      failure: {
        status: response.status,
        error: text(fields.error),
        message: text(fields.message),
        id: text(fields.id),
        retryAfterSeconds: Number(response.headers.get('retry-after')) || 0,
      },
    };
  } catch {
    return { failure: { status: 0, error: '', message: '', id: '', retryAfterSeconds: 0 } };
  }
}

/** True if no retry on this page can succeed: the interaction is over, or belongs to another browser. */
export function isExpired({ status, error }: Failure): boolean {
  return error === 'interaction_expired' || status === 404 || status === 410;
}

/** One or two sentences for the person. Uses the server's message if there is one. */
export function explain(failure: Failure): string {
  const again = failure.retryAfterSeconds > 0 ? `in ${inWords(failure.retryAfterSeconds)}` : 'in a moment';
  if (failure.status === 0) return 'The server could not be reached. Check your connection and try again.';
  if (isExpired(failure)) return 'This page has expired. Go back to the app you came from and start again.';
  if (failure.status === 429) return `Too many attempts. Try again ${again}.`;
  if (failure.status === 503 && failure.error !== 'factor_unreadable')
    return `The service is not available right now. Try again ${again}.`;
  if (failure.message) return failure.message;
  return `Something went wrong. Try again.${failure.id ? ` If it keeps happening, report ${failure.id}.` : ''}`;
}

/** "30 seconds", "1 minute", "2 hours". Rounded up: somebody who waits this long must not be refused again. */
export function inWords(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 90) return plural(whole, 'second');
  if (whole < 5400) return plural(Math.ceil(whole / 60), 'minute');
  return plural(Math.ceil(whole / 3600), 'hour');
}

function plural(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
