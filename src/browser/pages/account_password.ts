/**
 * The page for a new password: runs OPAQUE's registration for an existing account, and shows the password's strength.
 */
import { explain, type Failure, post } from './api.ts';
import { createForm, leaveFor, type PageForm } from './form.ts';
import { createOpaque } from './opaque.ts';
import { showStrength } from './strength.ts';

const form = createForm('Changing password…', change);
const opaque = createOpaque(form.data.opaqueWorker ?? '');
const strength = showStrength(
  form.input('password'),
  () => [form.input('username').value],
  form.data.strengthWorker ?? '',
);

async function change(form: PageForm): Promise<void> {
  const password = form.input('password').value;
  const objection = await strength.objection();
  if (objection) return form.fieldError('password', objection);

  try {
    const init = await post(`${form.data.base}/init`, { request: await opaque.start('register', password) });
    if ('failure' in init) return fail(init.failure);

    const record = await opaque.finish(String(init.data.response));
    const finish = await post(`${form.data.base}/finish`, { record });
    if ('failure' in finish) return fail(finish.failure);
    await leaveFor(finish.data.location);
  } catch {
    form.formError('This browser could not change the password. Reload the page and try again.');
  }
}

function fail(failure: Failure): void {
  if (failure.error === 'sign_in_required' || failure.error === 'proof_required')
    form.close(explain(failure));
  else form.failed(failure);
}
