/** The pages on which a person connects a device (RFC 8628). */
import { noteWrongGuess } from '../../http/rate_limit.ts';
import type { PageViews } from '../../http/views.ts';
import { AppError } from '../../lib/errors.ts';
import { describeScopes } from '../claims/scopes.ts';
import type { Pages } from './page.ts';
import { type NameOf, showPage } from './page.ts';

interface Problem {
  message?: string;
  status?: number;
  wrongGuess?: boolean;
}

const wrongCode = 'This code is wrong, was used before, or has expired.';
const problems: Record<string, Problem> = {
  NoCodeError: { message: 'Enter the code that your device shows.', status: 400 },
  // The same message for all three, so that guessing does not reveal which codes exist.
  NotFoundError: { message: wrongCode, status: 400, wrongGuess: true },
  ExpiredError: { message: wrongCode, status: 400, wrongGuess: true },
  AlreadyUsedError: { message: wrongCode, status: 400, wrongGuess: true },
  AbortedError: {},
};

/** Why the page asks for the user code again, by the name of the library's error. `status`: of the answer. */
function problemOf(error: Error | undefined, status: number): Problem {
  if (!error) return {};
  if (error instanceof AppError) return { message: error.publicMessage };
  const message =
    status >= 500
      ? 'Something went wrong on our side. Try again in a moment.'
      : 'This page has expired. Enter the code again.';
  return problems[error.name] ?? { message };
}

/** The pages on which a person enters a user code, confirms the device, and sees the result. */
export function devicePages({
  views,
  nameOf,
}: {
  views: PageViews;
  nameOf: NameOf;
}): Pick<Pages, 'userCode' | 'userCodeFound' | 'deviceConnected'> {
  return {
    async userCode(ctx, xsrf, problem) {
      const { message, status, wrongGuess = false } = problemOf(problem, ctx.status);
      if (status !== undefined) ctx.status = status;
      if (wrongGuess) noteWrongGuess(ctx);
      if (problem?.name === 'AbortedError')
        return showPage(ctx, views.render('device_done', { denied: true }));
      showPage(ctx, views.render('device', { action: '/device', xsrf, error: message }));
    },
    async userCodeFound(ctx, xsrf, { client, userCode, address }) {
      const { scope = '' } = (ctx.oidc.entities.DeviceCode?.params ?? {}) as { scope?: string };
      showPage(
        ctx,
        views.render('device_confirm', {
          action: '/device',
          xsrf,
          userCode,
          address,
          clientName: (await nameOf(client)) ?? '',
          scopes: describeScopes(scope.split(' ').filter(Boolean)),
        }),
      );
    },
    async deviceConnected(ctx) {
      const clientName = await nameOf(ctx.oidc.client);
      showPage(ctx, views.render('device_done', { denied: false, clientName }));
    },
  };
}
