import { expect, test } from 'vitest';
import { ago, deviceInWords } from '../../src/account/words.ts';

test.each([
  ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox on Linux'],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
    'Safari on iOS, iPhone',
  ],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0',
    'Microsoft Edge on Windows',
  ],
  ['curl/8.5.0', 'Unknown device'],
  ['<script>', 'Unknown device'],
  ['', 'Unknown device'],
  [null, 'Unknown device'],
])('the device of %s is %s', (userAgent, words) => {
  expect(deviceInWords(userAgent)).toBe(words);
});

const minute = 60_000;
test.each([
  [-5 * minute, 'just now'],
  [0, 'just now'],
  [minute, '1 minute ago'],
  [59 * minute, '59 minutes ago'],
  [60 * minute, '1 hour ago'],
  [47 * 60 * minute, '1 day ago'],
  [30 * 1440 * minute, '30 days ago'],
])('what was %i ms ago was %s', (since, words) => {
  expect(ago(1_000_000_000_000 - since, 1_000_000_000_000)).toBe(words);
});
