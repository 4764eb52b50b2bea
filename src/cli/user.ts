/** `npx cypher user …`: accounts. */
import type { Command } from 'commander';
import { createAccounts } from '../accounts/accounts.ts';
import { type AccountControl, createAccountControl } from '../accounts/control.ts';
import { lifeSeconds } from '../oidc/life.ts';
import { createRevocations } from '../revocation/revocations.ts';
import { createSessionStore } from '../sessions/store.ts';
import { createMemoryCache } from '../storage/cache.ts';
import { onStage, print, printJson, printTable } from './stage.ts';

const withAccounts = (work: (control: AccountControl) => Promise<void>): Promise<void> =>
  onStage(({ database, audit, now }) => {
    const accounts = createAccounts(database, now);
    const revocations = createRevocations(database, lifeSeconds.revocation, now);
    // Without a look at Redis: a copy of what is ended here is good for nothing (sessions/store.ts).
    const sessions = createSessionStore({
      database,
      cache: createMemoryCache(now),
      accessTokenSeconds: lifeSeconds.revocation,
      now,
    });
    return work(createAccountControl({ accounts, sessions, revocations, audit, database }));
  });

/** Adds the group to `program`. */
export function addUserCommands(program: Command): void {
  const user = program.command('user').description('accounts');

  user
    .command('list')
    .description('all accounts')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) =>
      withAccounts(async (control) => {
        const accounts = await control.list();
        if (json) return printJson(accounts);
        for (const account of accounts) {
          const state = account.disabledAt
            ? 'disabled'
            : account.totpConfirmed
              ? 'active'
              : 'authenticator not set up';
          print(`${account.username}\t${account.email ?? '-'}\t${state}\t${account.id}`);
        }
      }),
    );

  /** A command on one account. */
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
        withAccounts(async (control) => {
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
  change(
    'reset-totp',
    'take its authenticator away; the next login sets up a new one',
    'its authenticator was taken away',
    (c, n) => c.resetTotp(n),
  );

  user
    .command('sessions <username>')
    .description('where it is signed in')
    .option('--json', 'print JSON')
    .action((username: string, { json }: { json?: true }) =>
      withAccounts(async (control) => {
        const sessions = await control.sessions(username);
        const listed = sessions.map(({ grants: _, ...session }) => session);
        if (json) return printJson(listed);
        printTable([
          ['SESSION', 'ADDRESS', 'SINCE', 'LAST SEEN', 'DEVICE'],
          ...listed.map(({ uid, address, createdAt, lastSeenAt, userAgent }) => [
            uid,
            address ?? '-',
            createdAt.toISOString(),
            lastSeenAt.toISOString(),
            userAgent ?? '-',
          ]),
        ]);
      }),
    );

  user
    .command('sign-out <username> [session]')
    .description('end one of its sessions, or all of its sessions, grants and tokens')
    .action((username: string, session: string | undefined) =>
      withAccounts(async (control) => {
        await control.signOut(username, session);
        print(`${username}: ${session === undefined ? 'signed out everywhere' : `session ${session} ended`}`);
      }),
    );
}
