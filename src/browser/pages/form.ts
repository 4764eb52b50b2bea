/**
 * The form of a page whose step runs in script: its values, its errors beside the fields, its busy state. The markup
 * it expects: `<form data-step>`, inputs with ids, `<p id="…-error">` for each, `<p id="form-error">`, one submit button
 * that the server renders disabled, so that a form without its script can send nothing.
 */

export interface PageForm {
  /** What the server put on the form: data-base (the interaction's path), data-opaque-worker and so on. */
  readonly data: DOMStringMap;
  input(id: string): HTMLInputElement;
  /** Shows `message` beside the field and moves the focus there; `also` marks a second field as wrong with it. */
  fieldError(id: string, message: string, also?: string): void;
  /** Shows `message` above the button and moves the focus there. */
  formError(message: string): void;
  /** The same, and nothing can be submitted any more. */
  close(message: string): void;
}

/** Wires the page's form: `submit` runs on every submit, never twice at once, while the button says `busyLabel`. */
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
      must(`#${id}-error`).textContent = message;
      for (const wrong of also ? [id, also] : [id]) form.input(wrong).setAttribute('aria-invalid', 'true');
      form.input(id).focus();
      form.input(id).select();
    },
    formError(message) {
      const error = must<HTMLElement>('#form-error');
      error.textContent = message;
      error.focus();
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
    setBusy(true);
    try {
      await submit(form);
    } finally {
      setBusy(false);
    }
  });
  // What is being corrected is no longer called wrong.
  element.addEventListener('input', clearFieldErrors);
  // A page that comes back from the history cache would still be busy with the step that left it.
  addEventListener('pageshow', () => setBusy(false));
  wireReveal();
  setBusy(false);
  return form;
}

/** The "Show" button inside the password field. It needs script, so it is hidden until here. */
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

/** Goes where the server said the way continues. The promise never settles: the page stays busy until it is gone. */
export function leaveFor(location: unknown): Promise<never> {
  window.location.assign(String(location));
  return new Promise(() => {});
}
