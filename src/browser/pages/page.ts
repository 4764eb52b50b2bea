/**
 * Small aids for pages that also work without script: no form is posted twice, because a code can be used only once.
 * A code is sent as soon as it is complete. Recovery codes can be copied, saved or printed. A refusal says how long it
 * lasts.
 */
import { countDown } from './countdown.ts';

for (const form of document.querySelectorAll('form')) {
  form.addEventListener('submit', (event) => {
    // Not `disabled`: the value of the pressed button must still be sent.
    if (form.getAttribute('aria-busy') === 'true') event.preventDefault();
    form.setAttribute('aria-busy', 'true');
  });
}
addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form')) form.removeAttribute('aria-busy');
});

const code = document.querySelector<HTMLInputElement>('input[data-six-digits]');
let sent = '';
code?.addEventListener('input', (event) => {
  // Full-width digits are digits too, but not before the keyboard has settled on them.
  if ((event as InputEvent).isComposing) return;
  const digits = code.value.normalize('NFKC').replaceAll(/[\s-]/g, '');
  if (!/^\d{6}$/.test(digits) || digits === sent) return;
  sent = digits;
  code.form?.requestSubmit();
});

for (const wait of document.querySelectorAll<HTMLElement>('[data-wait]')) {
  const seconds = Number(wait.dataset.wait);
  if (seconds > 0) countDown(wait, seconds);
}

const codeTexts = [...document.querySelectorAll('[data-testid=recovery-code]')].map(
  (code) => code.textContent,
);
const said = document.querySelector('#codes-status');

function help(action: string, run: () => Promise<string> | string) {
  const button = document.querySelector<HTMLButtonElement>(`button[data-codes=${action}]`);
  if (!button) return;
  button.hidden = false;
  button.addEventListener('click', async () => {
    const done = await run();
    if (said) said.textContent = done;
  });
}

help('copy', async () => {
  try {
    await navigator.clipboard.writeText(`${codeTexts.join('\n')}\n`);
    return 'Copied.';
  } catch {
    return 'This browser did not allow copying. Write the codes down instead.';
  }
});

help('download', () => {
  const text = `Recovery codes for ${location.host}\nEach works once.\n\n${codeTexts.join('\n')}\n`;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = 'recovery-codes.txt';
  link.click();
  return 'Saved as recovery-codes.txt.';
});

help('print', () => {
  print();
  return '';
});
