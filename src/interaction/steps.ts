/**
 * The steps of a login, and the actions that each of them allows, as one table. Pure. A browser's step follows from
 * what it can prove (the waiting request, the step token, the account), never from what it claims.
 */

export type Step = 'login' | 'totp_setup' | 'totp' | 'consent';

/** The actions that a browser may post. */
export type Action =
  | 'login/init'
  | 'login/finish'
  | 'register/init'
  | 'register/finish'
  | 'totp/setup'
  | 'totp/verify-setup'
  | 'totp/verify'
  | 'consent'
  /** Somebody else wants to sign in. */
  | 'switch-account'
  /** The recovery codes were kept. */
  | 'recovery-codes';

export interface Proven {
  prompt: 'login' | 'consent';
  /** The account whose password this browser has proved for this interaction; undefined without a valid token. */
  passwordOf: { totpConfirmed: boolean } | undefined;
  /** Whether this browser has opened a link for the replacement of that account's lost authenticator. */
  replacesAuthenticator?: boolean;
}

interface Row {
  step: Step;
  when(proven: Proven): boolean;
  takes: readonly Action[];
}

const password: readonly Action[] = [
  'login/init',
  'login/finish',
  'register/init',
  'register/finish',
  'switch-account',
];

/**
 * The first row that fits is the browser's step. Until the login is complete, a password may be proved again at any
 * time.
 */
export const steps: readonly Row[] = [
  { step: 'consent', when: ({ prompt }) => prompt === 'consent', takes: ['consent', 'switch-account'] },
  { step: 'login', when: ({ passwordOf }) => passwordOf === undefined, takes: password },
  {
    step: 'totp_setup',
    when: ({ passwordOf, replacesAuthenticator = false }) =>
      passwordOf?.totpConfirmed === false || replacesAuthenticator,
    takes: [...password, 'totp/setup', 'totp/verify-setup'],
  },
  // `totp/verify-setup` again: for somebody who has just confirmed the set-up and did not receive the answer.
  { step: 'totp', when: () => true, takes: [...password, 'totp/verify', 'totp/verify-setup'] },
];

/** The step this browser is at. */
export function stepOf(proven: Proven): Step {
  return rowOf(proven).step;
}

/** Whether the browser's step allows the action. */
export function takes(proven: Proven, action: Action): boolean {
  return rowOf(proven).takes.includes(action);
}

function rowOf(proven: Proven): Row {
  const row = steps.find(({ when }) => when(proven));
  if (!row) throw new Error('no step fits');
  return row;
}
