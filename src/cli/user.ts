/** `npx cypher user …`: accounts. */
import type { Command } from 'commander';
import { createAccounts } from '../accounts/accounts.ts';
import { type AccountControl, createAccountControl } from '../accounts/control.ts';
import { lifeSeconds } from '../oidc/life.ts';
import { createRevocations } from '../revocation/revocations.ts';
import { onStage, print } from './stage.ts';

const withAccounts = (work: (control: AccountControl) => Promise<void>): Promise<void> =>
  onStage(({ database, audit, now }) => {
    const accounts = createAccounts(database, now);
    const revocations = createRevocations(database, lifeSeconds.revocation, now);
    return work(createAccountControl({ accounts, revocations, audit, database }));
  });

/** Adds the group to `program`. */
export function addUserCommands(program: Command): void {
  const user = program.command('user').description('accounts');

  user
    .command('list')
    .description('all accounts')
    .action(() =>
      withAccounts(async (control) => {
        for (const account of await control.list()) {
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
  change('sign-out', 'end its sessions, grants and tokens', 'signed out everywhere', (c, n) => c.signOut(n));
  change(
    'reset-totp',
    'take its authenticator away; the next login sets up a new one',
    'its authenticator was taken away',
    (c, n) => c.resetTotp(n),
  );
}
