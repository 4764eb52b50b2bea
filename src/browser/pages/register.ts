/** The sign-up page: runs OPAQUE with register/init and register/finish, and shows the password's strength. */
import { explain, type Failure, isExpired, post } from './api.ts';
import { createForm, leaveFor, type PageForm } from './form.ts';
import { createOpaque } from './opaque.ts';
import { showStrength } from './strength.ts';

const form = createForm('Creating account…', signUp);
const opaque = createOpaque(form.data.opaqueWorker ?? '');
const strength = showStrength(
  form.input('password'),
  () => [form.input('username').value, form.input('email').value],
  form.data.strengthWorker ?? '',
);

async function signUp(form: PageForm): Promise<void> {
  const username = form.input('username').value.trim();
  const email = form.input('email').value.trim();
  const password = form.input('password').value;
  const wrong: Record<string, string> = {};
  if (!username) wrong.username = 'Choose a username.';
  if (email && !form.input('email').validity.valid) wrong.email = 'This does not look like an email address.';
  const objection = await strength.objection();
  if (objection) wrong.password = objection;
  if (Object.keys(wrong).length > 0) return form.fieldErrors(wrong);

  try {
    const init = await post(`${form.data.base}/register/init`, {
      username,
      request: await opaque.start('register', password),
    });
    if ('failure' in init) return fail(init.failure);

    const record = await opaque.finish(String(init.data.response));
    const finish = await post(`${form.data.base}/register/finish`, {
      username,
      record,
      ...(email ? { email } : {}),
    });
    if ('failure' in finish) return fail(finish.failure);
    await leaveFor(finish.data.location);
  } catch {
    form.formError('This browser could not create the account. Reload the page and try again.');
  }
}

/** Shows an error of the username or e-mail address beside its field, and every other one above the button. */
function fail(failure: Failure): void {
  // The server names the field, then the error: "email: is too long".
  const [, field, fault] = /^(username|email): (.+)$/.exec(failure.message) ?? [];
  // The page's own address leads to where the sign-in has moved on, for example in another tab.
  if (isExpired(failure)) void leaveFor(form.data.base);
  else if (failure.error === 'username_taken') form.fieldError('username', explain(failure));
  else if (field) form.fieldError(field, `The ${field} ${fault}.`);
  else if (/username/i.test(failure.message)) form.fieldError('username', explain(failure));
  else form.failed(failure);
}
