/** `npx cypher user …`: accounts. */
import type { Command } from 'commander';
import { createAccounts, type ListedAccount } from '../accounts/accounts.ts';
import { type AuthenticatorResets, createAuthenticatorResets } from '../accounts/authenticator_resets.ts';
import { type AccountControl, createAccountControl } from '../accounts/control.ts';
import { createInvitations, type Invitation, type Invitations } from '../accounts/invitations.ts';
import { emailAddress } from '../http/forms.ts';
import { lifeSeconds } from '../lifetimes.ts';
import { createRevocations } from '../revocation/revocations.ts';
import { createSessionStore, type ListedSession } from '../sessions/store.ts';
import { secondsOf } from './duration.ts';
import { printListing } from './listing.ts';
import { onStage, print, printJson, tableOf } from './stage.ts';

interface People {
  control: AccountControl;
  invitations: Invitations;
  resets: AuthenticatorResets;
  issuer: string;
}

type Work = (people: People) => Promise<void>;

const withAccounts = (work: Work): Promise<void> =>
  onStage(({ config, database, audit, now }) => {
    const accounts = createAccounts(database, now);
    const revocations = createRevocations(database, now);
    const sessions = createSessionStore({ database, now });
    const invitations = createInvitations({ database, accounts, audit, now });
    const control = createAccountControl({ accounts, sessions, revocations, audit, database });
    const resets = createAuthenticatorResets({ database, accounts, revocations, audit, now });
    return work({ control, invitations, resets, issuer: config.ISSUER });
  });

const stateOf = ({ disabledAt, totpConfirmed }: ListedAccount): string =>
  disabledAt ? 'disabled' : totpConfirmed ? 'active' : 'authenticator not set up';

function linkSeconds(text: string): number {
  const seconds = secondsOf(text);
  if (seconds < 60 || seconds > lifeSeconds.longestInvitation)
    throw new Error('--expires must be from 1m (a minute) to 30d');
  return seconds;
}

function emailOf(text: string): string {
  const { data, error } = emailAddress.safeParse(text);
  if (error) throw new Error(`--email ${error.issues[0]?.message}`);
  return data;
}

/** Adds the commands of the group `user`. */
export function addUserCommands(user: Command): void {
  addList(user);
  addInvite(user);
  addChanges(user);
  addResetTotp(user);
  addSessions(user);
  addSignOut(user);
}

function addList(user: Command): void {
  user
    .command('list')
    .description('all accounts, and those that somebody is invited to')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) =>
      withAccounts(async ({ control, invitations }) => {
        await printListing(peopleIn(control, invitations), {
          json: json ?? false,
          lines: (page) =>
            page.map(({ username, email, state, ...who }) => {
              const last = 'id' in who ? who.id : `until ${who.expiresAt.toISOString()}`;
              return [username, email ?? '-', state, last].join('\t');
            }),
        });
      }),
    );
}

/** All accounts, then all valid invitations, in pages. */
async function* peopleIn(
  control: AccountControl,
  invitations: Invitations,
): AsyncGenerator<((ListedAccount | Invitation) & { state: string })[]> {
  for await (const page of control.list())
    yield page.map((account) => ({ ...account, state: stateOf(account) }));
  for await (const page of invitations.list()) yield page.map((each) => ({ ...each, state: 'invited' }));
}

function addInvite(user: Command): void {
  user
    .command('add <username>')
    .description('invite somebody: a link, good once, with which they choose their password')
    .option('--email <address>', "the account's e-mail address")
    .option('--expires <time>', 'how long the link is good, such as 24h', '72h')
    .option('--json', 'print JSON')
    .action((username: string, options: { email?: string; expires: string; json?: true }) => {
      const email = options.email === undefined ? undefined : emailOf(options.email);
      const seconds = linkSeconds(options.expires);
      return withAccounts(async ({ invitations, issuer }) => {
        const { token, ...invitation } = await invitations.invite(username, email, seconds);
        const link = `${issuer}/invitation/${token}`;
        if (options.json) return printJson({ ...invitation, state: 'invited', link });
        print(
          `${username} is invited until ${invitation.expiresAt.toISOString()}. For them alone, shown once:`,
        );
        print(link);
      });
    });
}

function addResetTotp(user: Command): void {
  user
    .command('reset-totp <username>')
    .description('for a lost authenticator: a link, good once, by which its owner sets up a new one')
    .option('--expires <time>', 'how long the link is good, such as 2h', '24h')
    .option('--json', 'print JSON')
    .action((username: string, { expires, json }: { expires: string; json?: true }) => {
      const seconds = linkSeconds(expires);
      return withAccounts(async ({ resets, issuer }) => {
        const { token, ...reset } = await resets.issue(username, seconds);
        const link = `${issuer}/authenticator-reset/${token}`;
        if (json) return printJson({ ...reset, link });
        print(
          `The present authenticator of ${reset.username} stays in use until this link is used. It is good until ${reset.expiresAt.toISOString()}, for them alone, and is shown once:`,
        );
        print(link);
      });
    });
}

function addSessions(user: Command): void {
  user
    .command('sessions <username>')
    .description('where it is signed in')
    .option('--json', 'print JSON')
    .action((username: string, { json }: { json?: true }) =>
      withAccounts(async ({ control }) => {
        const titles = ['SESSION', 'ADDRESS', 'SINCE', 'LAST SEEN', 'DEVICE'];
        await printListing(await control.sessions(username), {
          json: json ?? false,
          shown: ({ grants: _, ...session }) => session,
          lines: (page, isFirst) => tableOf([...(isFirst ? [titles] : []), ...page.map(sessionRow)]),
        });
      }),
    );
}

const sessionRow = ({ uid, address, createdAt, lastSeenAt, userAgent }: ListedSession): string[] => [
  uid,
  address ?? '-',
  createdAt.toISOString(),
  lastSeenAt.toISOString(),
  userAgent ?? '-',
];

function addSignOut(user: Command): void {
  user
    .command('sign-out <username> [session]')
    .description('end one of its sessions, or all of its sessions, grants and tokens')
    .action((username: string, session: string | undefined) =>
      withAccounts(async ({ control }) => {
        await control.signOut(username, session);
        print(`${username}: ${session === undefined ? 'signed out everywhere' : `session ${session} ended`}`);
      }),
    );
}

function addChanges(user: Command): void {
  /** Adds a command that changes one account. */
  function change(
    name: string,
    description: string,
    done: string,
    work: (c: AccountControl, name: string) => Promise<void>,
  ) {
    user
      .command(`${name} <username>`)
      .description(description)
      .action((username: string) =>
        withAccounts(async ({ control }) => {
          await work(control, username);
          print(`${username}: ${done}`);
        }),
      );
  }

  change(
    'disable',
    'refuse its logins and end everything that was issued to it',
    'disabled and signed out everywhere',
    (c, n) => c.disable(n),
  );
  change('enable', 'let it sign in again', 'enabled', (c, n) => c.enable(n));
}
