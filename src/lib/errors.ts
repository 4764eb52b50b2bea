/**
 * The errors that a person or a client is meant to see. Features throw them, http/errors.ts renders them, once.
 * Anything else that is thrown is a fault of ours and is shown as `server_error` with nothing of its text.
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
 * Its `message` is the code, its `publicMessage` the sentence for people. `statusCode`, `expose` and `error_description`
 * are what oidc-provider reads, so that one that is thrown below its endpoints is answered in OAuth's format.
 */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly publicMessage: string;
  readonly statusCode: number;
  readonly expose: boolean;
  readonly error_description: string;
  /** Seconds after which it is worth trying again, where that is known. */
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

/** An app did not take what it was sent, and would not take it later either. */
export class NotTaken extends Error {}

/** 400: the request is not of the form that the endpoint takes. `message` says what would be right. */
export const invalidRequest = (message: string): AppError => new AppError('invalid_request', message);

/** 403: the link was used, replaced, is too old or was never one; which of these is not told. */
export const invitationEnded = (): AppError =>
  new AppError(
    'invitation_ended',
    'This invitation is not good any more. If you have chosen your password already, sign in. If not, ask whoever invited you for a new link.',
  );

/** 403: the link was used, replaced, is too old or was never one; which of these is not told. */
export const resetEnded = (): AppError =>
  new AppError(
    'reset_ended',
    'This link is not good any more. If you have set up your new authenticator already, sign in. If not, ask whoever sent it for a new one.',
  );

/** 503: storage cannot serve now. The cause goes to the log alone. */
export const unavailable = (cause: unknown): AppError =>
  new AppError('temporarily_unavailable', 'The service is busy or restarting. Try again in a moment.', {
    cause,
    retryAfterSeconds: 2,
  });

/** 503: there is more to do than can be done in time; nothing was done for this request. */
export const overloaded = (): AppError =>
  new AppError('overloaded', 'Too many people are signing in at this moment. Try again in a few seconds.', {
    retryAfterSeconds: 2,
  });

/** 429, with the time to wait both in words and in `Retry-After`. */
export const tooManyRequests = (retryAfterSeconds: number): AppError =>
  new AppError('too_many_requests', `Too many attempts. Try again in ${inWords(retryAfterSeconds)}.`, {
    retryAfterSeconds,
  });

/** 429: as above, because of failures. `bucket` says which of them, for whoever counts the refusals. */
export class TooManyFailures extends AppError {
  readonly bucket: string;

  constructor(retryAfterSeconds: number, bucket: string) {
    const { publicMessage } = tooManyRequests(retryAfterSeconds);
    super('too_many_requests', publicMessage, { retryAfterSeconds });
    this.bucket = bucket;
  }
}

/** 429: nothing was counted as a failure, nothing is used up. */
export const tooManyAtOnce = (): AppError =>
  new AppError('too_many_at_once', 'Too much of this is under way at once. Try again in a second.', {
    retryAfterSeconds: 1,
  });

/** 429: what those who are not signed in may do together is used up. */
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
