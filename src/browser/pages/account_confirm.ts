/** The confirmation before every change on the account page: the current password, by OPAQUE, and a code. */
import { explain, type Failure, post } from './api.ts';
import { createForm, leaveFor, type PageForm } from './form.ts';
import { createOpaque } from './opaque.ts';

const WRONG = 'This password is wrong.';

const form = createForm('Confirming…', confirm);
const opaque = createOpaque(form.data.opaqueWorker ?? '');

async function confirm(form: PageForm): Promise<void> {
  const password = form.input('password').value;
  const code = form.input('code').value.trim();
  if (!password) return form.fieldError('password', 'Enter your present password.');
  if (!code) return form.fieldError('code', 'Enter a code.');

  try {
    const init = await post(`${form.data.base}/proof/init`, { ke1: await opaque.start('login', password) });
    if ('failure' in init) return fail(init.failure);

    const ke3 = await opaque.finish(String(init.data.ke2));
    // Send nothing: the server counts a KE1 without its KE3 as a failure.
    if (!ke3) return form.fieldError('password', WRONG);

    const finish = await post(`${form.data.base}/proof/finish`, { ke3, code });
    if ('failure' in finish) return fail(finish.failure);
    await leaveFor(finish.data.location);
  } catch {
    form.formError('This browser could not run the confirmation. Reload the page and try again.');
  }
}

function fail(failure: Failure): void {
  if (failure.error === 'sign_in_required') form.close(explain(failure));
  else if (failure.error === 'invalid_credentials') form.fieldError('password', WRONG);
  else if (['invalid_code', 'malformed_code', 'factor_unreadable'].includes(failure.error))
    form.fieldError('code', explain(failure));
  else form.failed(failure);
}
