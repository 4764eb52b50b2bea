/** The sign-in page: runs OPAQUE with login/init and login/finish, and goes where the server says. */
import { type Failure, isExpired, post } from './api.ts';
import { createForm, leaveFor, type PageForm } from './form.ts';
import { createOpaque } from './opaque.ts';

const WRONG = 'Username or password is wrong.';

const form = createForm('Signing in…', signIn);
const opaque = createOpaque(form.data.opaqueWorker ?? '');

async function signIn(form: PageForm): Promise<void> {
  const username = form.input('username').value.trim();
  const password = form.input('password').value;
  if (!username) return form.fieldError('username', 'Enter your username.');
  if (!password) return form.fieldError('password', 'Enter your password.');

  try {
    const init = await post(`${form.data.base}/login/init`, {
      username,
      ke1: await opaque.start('login', password),
    });
    if ('failure' in init) return fail(init.failure);

    const ke3 = await opaque.finish(String(init.data.ke2));
    // Send nothing: the server counts a KE1 without its KE3 as a failure.
    if (!ke3) return form.fieldError('password', WRONG, 'username');

    const finish = await post(`${form.data.base}/login/finish`, { ke3 });
    if ('failure' in finish) return fail(finish.failure);
    await leaveFor(finish.data.location);
  } catch {
    form.formError('This browser could not run the sign-in. Reload the page and try again.');
  }
}

function fail(failure: Failure): void {
  // The page's own address leads to where the sign-in has moved on, for example in another tab.
  if (isExpired(failure)) void leaveFor(form.data.base);
  else if (failure.error === 'invalid_credentials') form.fieldError('password', WRONG, 'username');
  else form.failed(failure);
}
