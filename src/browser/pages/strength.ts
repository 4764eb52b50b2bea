/**
 * The strength meter under a new password. It informs and never forbids: the only rule is the length. The estimate
 * comes from a worker, which is loaded when the field is first used, because its dictionaries are large.
 */
import { missingCharacters } from '../password.ts';
import type { Strength, StrengthRequest } from './strength_worker.ts';

const PAUSE_MS = 150;
const WORDS = ['Very weak', 'Weak', 'Fair', 'Good', 'Strong'];

/**
 * Shows the strength of what is typed into `input`. `ownWords`: words that are easy to guess for this person, such as
 * the username.
 */
export function showStrength(input: HTMLInputElement, ownWords: () => string[], workerUrl: string): void {
  const meter = document.querySelector<HTMLElement>('#strength');
  const advice = document.querySelector<HTMLElement>('#strength-advice');
  if (!meter || !advice) return;
  let worker: Worker | undefined;
  let pause: ReturnType<typeof setTimeout> | undefined;

  function show(strength: Strength | undefined) {
    const missing = missingCharacters(input.value);
    // A password that is too short is never called strong.
    const score = missing > 0 ? Math.min(strength?.score ?? 0, 1) : (strength?.score ?? 0);
    const word = WORDS[score] ?? '';
    meter?.setAttribute('aria-valuenow', String(score));
    meter?.setAttribute('aria-valuetext', word);
    if (meter) meter.hidden = input.value === '' || (!strength && missing === 0);
    if (!advice) return;
    if (input.value === '') advice.textContent = '';
    else if (missing > 0)
      advice.textContent = `${missing} more ${missing === 1 ? 'character' : 'characters'}.`;
    else if (strength) advice.textContent = [`${word}.`, strength.advice].filter(Boolean).join(' ');
  }

  function load(): Worker {
    const loaded = new Worker(workerUrl, { type: 'module' });
    loaded.addEventListener('message', ({ data }: MessageEvent<Strength>) => {
      // An answer for a password that was changed meanwhile would only flicker.
      if (data.password === input.value) show(data);
    });
    return loaded;
  }

  input.addEventListener('focus', () => {
    worker ??= load();
  });
  input.addEventListener('input', () => {
    worker ??= load();
    if (input.value === '' || missingCharacters(input.value) > 0) show(undefined);
    clearTimeout(pause);
    pause = setTimeout(() => {
      worker?.postMessage({ password: input.value, ownWords: ownWords() } satisfies StrengthRequest);
    }, PAUSE_MS);
  });
}
