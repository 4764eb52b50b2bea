/**
 * Estimates a password's strength with zxcvbn, outside the page's thread. Loaded only on pages where a password is
 * chosen.
 */
import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { adjacencyGraphs, dictionary as common } from '@zxcvbn-ts/language-common';
import { dictionary as english, translations } from '@zxcvbn-ts/language-en';
import { normalizePassword } from '../password.ts';

export interface StrengthRequest {
  password: string;
  ownWords: string[];
}

export interface Strength {
  /** The password of this estimate, as it was sent. */
  password: string;
  /** 0 (very weak) to 4 (strong). */
  score: number;
  /** A sentence of advice, or nothing. */
  advice: string;
}

const zxcvbn = new ZxcvbnFactory({
  dictionary: { ...common, ...english },
  graphs: adjacencyGraphs,
  translations,
});

self.addEventListener('message', ({ data }: MessageEvent<StrengthRequest>) => {
  const { score, feedback } = zxcvbn.check(normalizePassword(data.password), data.ownWords.filter(Boolean));
  const advice = feedback.warning ?? feedback.suggestions[0] ?? '';
  self.postMessage({ password: data.password, score, advice } satisfies Strength);
});
