/**
 * The strength meter under a new password, and the refusal of one that is too short or easy to guess. The estimate
 * comes from a worker, which is loaded when the field is first used, because its dictionaries are large. Only the page
 * can refuse a weak password: the server never sees it.
 */
import { missingCharacters } from '../password.ts';
import type { Strength, StrengthRequest } from './strength_worker.ts';

const PAUSE_MS = 150;
/** Without an estimate in this time, for example because the dictionaries do not load, the password is accepted. */
const ESTIMATE_TIMEOUT_MS = 15_000;
const WORDS = ['Very weak', 'Weak', 'Fair', 'Good', 'Strong'];
const LEAST_SCORE = 2;

export interface StrengthMeter {
  /** Why the typed password is refused. Undefined if it is not. */
  objection(): Promise<string | undefined>;
}

/**
 * Shows the strength of what is typed into `input`. `ownWords`: words that are easy to guess for this person, such as
 * the username.
 */
export function showStrength(
  input: HTMLInputElement,
  ownWords: () => string[],
  workerUrl: string,
): StrengthMeter {
  const show = createMeter(input);
  const estimate = createEstimates(workerUrl);
  let pause: ReturnType<typeof setTimeout> | undefined;

  input.addEventListener('focus', () => estimate.load());
  input.addEventListener('input', () => {
    estimate.load();
    if (input.value === '' || missingCharacters(input.value) > 0) show(undefined);
    clearTimeout(pause);
    pause = setTimeout(async () => {
      const strength = await estimate.of({ password: input.value, ownWords: ownWords() });
      // An answer for a password that was changed meanwhile would only flicker.
      if (strength?.password === input.value) show(strength);
    }, PAUSE_MS);
  });

  return {
    async objection() {
      if (missingCharacters(input.value) > 0) return 'Use at least 12 characters.';
      const strength = await estimate.of({ password: input.value, ownWords: ownWords() });
      if (!strength || strength.score >= LEAST_SCORE) return undefined;
      return ['This password is too easy to guess.', strength.advice].filter(Boolean).join(' ');
    },
  };
}

/** The worker, which answers in the order of the questions. */
function createEstimates(workerUrl: string) {
  let worker: Worker | undefined;
  let broken = false;

  function load(): Worker {
    if (worker) return worker;
    worker = new Worker(workerUrl, { type: 'module' });
    worker.addEventListener('error', () => {
      broken = true;
    });
    return worker;
  }

  return {
    load,
    /** Undefined if there is no answer. */
    of(request: StrengthRequest): Promise<Strength | undefined> {
      const asked = load();
      return new Promise((resolve) => {
        if (broken) return resolve(undefined);
        const over = new AbortController();
        const end = (strength: Strength | undefined) => {
          over.abort();
          clearTimeout(timeout);
          resolve(strength);
        };
        const timeout = setTimeout(() => end(undefined), ESTIMATE_TIMEOUT_MS);
        const { signal } = over;
        const answered = ({ data }: MessageEvent<Strength>) => {
          if (data.password === request.password) end(data);
        };
        asked.addEventListener('message', answered, { signal });
        asked.addEventListener('error', () => end(undefined), { signal });
        asked.postMessage(request);
      });
    },
  };
}

/** Shows an estimate beside the field. Without one, how many characters are missing. */
function createMeter(input: HTMLInputElement): (strength: Strength | undefined) => void {
  const meter = document.querySelector<HTMLElement>('#strength');
  const advice = document.querySelector<HTMLElement>('#strength-advice');
  return (strength) => {
    if (!meter || !advice) return;
    const missing = missingCharacters(input.value);
    // A password that is too short is never called strong.
    const score = missing > 0 ? Math.min(strength?.score ?? 0, 1) : (strength?.score ?? 0);
    const word = WORDS[score] ?? '';
    meter.setAttribute('aria-valuenow', String(score));
    meter.setAttribute('aria-valuetext', word);
    meter.hidden = input.value === '' || (!strength && missing === 0);
    if (input.value === '') advice.textContent = '';
    else if (missing > 0)
      advice.textContent = `${missing} more ${missing === 1 ? 'character' : 'characters'}.`;
    else if (strength) advice.textContent = [`${word}.`, strength.advice].filter(Boolean).join(' ');
  };
}
