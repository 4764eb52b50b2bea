/**
 * The form of a page whose step runs in script: its values, the errors beside its fields, its busy state. It expects
 * this markup: `<form data-step>`, inputs with ids, `<p id="…-error">` for each, `<p id="form-error">`, `<p data-wait>`
 * (see countdown.ts), and one submit button. The server renders the button disabled, so that the form cannot be sent
 * without its script.
 */

import { explain, type Failure } from './api.ts';
import { countDown, stopCounting } from './countdown.ts';

export interface PageForm {
  /** The form's data attributes: data-base (the path of its steps), data-opaque-worker and so on. */
  readonly data: DOMStringMap;
  input(id: string): HTMLInputElement;
  /** Shows `message` beside the field and focuses it. `also`: another field to mark as wrong. */
  fieldError(id: string, message: string, also?: string): void;
  /** Shows a message beside each field, by its id, and focuses the first one. */
  fieldErrors(messages: Record<string, string>): void;
  /** Shows `message` above the button and focuses it. */
  formError(message: string): void;
  /** The same for a failed step. Counts down, if the server said when to try again. */
  failed(failure: Failure): void;
  /** As `formError`. After that, nothing can be submitted. */
  close(message: string): void;
}

/**
 * Wires the page's form. `submit` runs on every submit, but never twice concurrently. Meanwhile the button says
 * `busyLabel`.
 */
export function createForm(busyLabel: string, submit: (form: PageForm) => Promise<void>): PageForm {
  const element = must<HTMLFormElement>('form[data-step]');
  const button = must<HTMLButtonElement>('form[data-step] button[type=submit]');
  const label = button.textContent;
  let closed = false;

  function setBusy(busy: boolean) {
    button.disabled = busy || closed;
    button.setAttribute('aria-busy', String(busy));
    button.textContent = busy ? busyLabel : label;
  }

  function clearFieldErrors() {
    for (const error of element.querySelectorAll('.field .error')) error.textContent = '';
    for (const input of element.querySelectorAll('input')) input.removeAttribute('aria-invalid');
  }

  const form: PageForm = {
    data: element.dataset,
    input: (id) => must<HTMLInputElement>(`#${id}`),
    fieldError(id, message, also) {
      form.fieldErrors({ [id]: message });
      if (also) form.input(also).setAttribute('aria-invalid', 'true');
    },
    fieldErrors(messages) {
      for (const [id, message] of Object.entries(messages)) {
        must(`#${id}-error`).textContent = message;
        form.input(id).setAttribute('aria-invalid', 'true');
      }
      const [first] = Object.keys(messages);
      if (first === undefined) return;
      form.input(first).focus();
      form.input(first).select();
    },
    formError(message) {
      const error = must<HTMLElement>('#form-error');
      error.textContent = message;
      error.focus();
    },
    failed(failure) {
      form.formError(explain(failure));
      if (failure.status === 429 && failure.retryAfterSeconds > 0)
        countDown(must('[data-wait]'), failure.retryAfterSeconds);
    },
    close(message) {
      closed = true;
      element.dataset.closed = '';
      form.formError(message);
    },
  };

  element.noValidate = true;
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    clearFieldErrors();
    must('#form-error').textContent = '';
    stopCounting(must('[data-wait]'));
    setBusy(true);
    try {
      await submit(form);
    } finally {
      setBusy(false);
    }
  });
  // Once a person corrects a field, it is not marked as wrong any more.
  element.addEventListener('input', clearFieldErrors);
  // A page that returns from the history cache would otherwise still be busy with the step that left it.
  addEventListener('pageshow', () => setBusy(false));
  wireReveal();
  for (const part of document.querySelectorAll<HTMLElement>('[data-needs-script]')) part.hidden = false;
  setBusy(false);
  return form;
}

/** The "Show" button in the password field. It needs script, so the server renders it hidden. */
function wireReveal() {
  const reveal = document.querySelector<HTMLButtonElement>('button[data-reveal]');
  const input = document.querySelector<HTMLInputElement>(`#${reveal?.dataset.reveal}`);
  if (!reveal || !input) return;
  reveal.hidden = false;
  reveal.addEventListener('click', () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    reveal.setAttribute('aria-pressed', String(shown));
    reveal.textContent = shown ? 'Hide' : 'Show';
  });
}

function must<T extends Element>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (!found) throw new Error(`the page lacks ${selector}`);
  return found;
}

/**
 * Goes where the server says the interaction continues. The promise never settles, so the page stays busy until it is
 * left.
 */
export function leaveFor(location: unknown): Promise<never> {
  window.location.assign(String(location));
  return new Promise(() => {});
}
