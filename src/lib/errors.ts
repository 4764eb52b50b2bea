/**
 * The errors that a person or a client may see. Features throw them, and one place renders them. Any other error is
 * our fault. It is shown as `server_error`, without its text.
 */

export type ErrorCode =
  | 'invalid_request'
  | 'invalid_credentials'
  | 'invalid_code'
  | 'malformed_code'
  | 'factor_unreadable'
  | 'login_step_required'
  | 'sign_in_required'
  | 'proof_required'
  | 'interaction_expired'
  | 'wrong_step'
  | 'cross_origin'
  | 'forbidden'
  | 'username_taken'
  | 'invitation_required'
  | 'invitation_ended'
  | 'reset_ended'
  | 'too_many_requests'
  | 'too_many_at_once'
  | 'sign_in_first'
  | 'not_found'
  | 'payload_too_large'
  | 'temporarily_unavailable'
  | 'overloaded'
  | 'server_error';

const statuses: Record<ErrorCode, number> = {
  invalid_request: 400,
  invalid_credentials: 401,
  invalid_code: 401,
  malformed_code: 400,
  factor_unreadable: 503,
  login_step_required: 401,
  sign_in_required: 401,
  proof_required: 401,
  interaction_expired: 400,
  wrong_step: 409,
  cross_origin: 403,
  forbidden: 403,
  username_taken: 409,
  invitation_required: 403,
  invitation_ended: 403,
  reset_ended: 403,
  too_many_requests: 429,
  too_many_at_once: 429,
  sign_in_first: 429,
  not_found: 404,
  payload_too_large: 413,
  temporarily_unavailable: 503,
  overloaded: 503,
  server_error: 500,
};

/**
 * `message` is the code, and `publicMessage` is the sentence for people. oidc-provider reads `statusCode`, `expose`
 * and `error_description`, so that an error inside its endpoints is answered in OAuth's format.
 */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly publicMessage: string;
  readonly statusCode: number;
  readonly expose: boolean;
  readonly error_description: string;
  /** The seconds until a new attempt makes sense, if known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    publicMessage: string,
    options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(code, { cause: options.cause });
    this.code = code;
    this.status = statuses[code];
    this.publicMessage = publicMessage;
    this.statusCode = this.status;
    this.expose = code !== 'server_error';
    this.error_description = publicMessage;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** An app refused a message for good: it would not accept it later either. */
export class NotTaken extends Error {}

/** 400: the request is malformed. `message` says what would be right. */
export const invalidRequest = (message: string): AppError => new AppError('invalid_request', message);

/** 403: the link was used, replaced, has expired or never existed. The answer does not say which of these. */
export const invitationEnded = (): AppError =>
  new AppError(
    'invitation_ended',
    'This invitation is not good any more. If you have chosen your password already, sign in. If not, ask whoever invited you for a new link.',
  );

/** 403: the link was used, replaced, has expired or never existed. The answer does not say which of these. */
export const resetEnded = (): AppError =>
  new AppError(
    'reset_ended',
    'This link is not good any more. If you have set up your new authenticator already, sign in. If not, ask whoever sent it for a new one.',
  );

/** 503: storage cannot serve now. The cause goes only to the log. */
export const unavailable = (cause: unknown): AppError =>
  new AppError('temporarily_unavailable', 'The service is busy or restarting. Try again in a moment.', {
    cause,
    retryAfterSeconds: 2,
  });

/** What storage said, if `error` is what `unavailable` made of it. For operators alone: people see the public message. */
export function causeOf(error: Error): Error {
  const { cause } = error;
  if (!(cause instanceof Error)) return error;
  const isWrapped = error instanceof AppError && error.code === 'temporarily_unavailable';
  // The pool says only that there was no answer in time. The connection itself names the host.
  return isWrapped || cause.name === 'ConnectError' ? causeOf(cause) : error;
}

/** 503: the server has too much work. Nothing was done for this request. */
export const overloaded = (): AppError =>
  new AppError('overloaded', 'Too many people are signing in at this moment. Try again in a few seconds.', {
    retryAfterSeconds: 2,
  });

/** 429, with the time to wait both in words and in `Retry-After`. */
export const tooManyRequests = (retryAfterSeconds: number): AppError =>
  new AppError('too_many_requests', `Too many attempts. Try again in ${inWords(retryAfterSeconds)}.`, {
    retryAfterSeconds,
  });

/** 429: too many failures. `bucket` says which limit was reached, for counting the refusals. */
export class TooManyFailures extends AppError {
  readonly bucket: string;

  constructor(retryAfterSeconds: number, bucket: string) {
    const { publicMessage } = tooManyRequests(retryAfterSeconds);
    super('too_many_requests', publicMessage, { retryAfterSeconds });
    this.bucket = bucket;
  }
}

/** 429: too much runs concurrently. Nothing was counted as a failure, and nothing was marked as used. */
export const tooManyAtOnce = (): AppError =>
  new AppError('too_many_at_once', 'Too much of this is under way at once. Try again in a second.', {
    retryAfterSeconds: 1,
  });

/** 429: the shared limit of all visitors who are not signed in is used up. */
export const signInFirst = (retryAfterSeconds: number): AppError =>
  new AppError(
    'sign_in_first',
    'People who are not signed in have made too many attempts. Sign in to your account, then come back to this page and try again.',
    { retryAfterSeconds },
  );

function inWords(seconds: number): string {
  if (seconds <= 1) return 'a second';
  if (seconds < 90) return `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
