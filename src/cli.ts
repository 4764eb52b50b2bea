#!/usr/bin/env node
/** `npx cypher user …`: an administrator's commands, on the same database as the server and while it runs. */
import { Command } from 'commander';
import { createAccounts } from './accounts/accounts.ts';
import { type AccountControl, createAccountControl } from './accounts/control.ts';
import { createAudit } from './audit/audit.ts';
import { loadConfig } from './config/load.ts';
import { createLog } from './lib/log.ts';
import { lifeSeconds } from './oidc/life.ts';
import { createRevocations } from './revocation/revocations.ts';
import { openDatabase } from './storage/database.ts';
import { runningPostgresUrl } from './storage/embedded_postgres.ts';

/** Opens the database, runs `work`, writes the audit log and closes. */
async function withAccounts(work: (control: AccountControl) => Promise<void>): Promise<void> {
  const config = loadConfig();
  const log = createLog('warn');
  const url = config.DATABASE_URL ?? (await runningPostgresUrl(config.DATA_DIR));
  const database = openDatabase(url, { onIdleError: () => {} });
  const audit = createAudit(database, log, Date.now);
  const accounts = createAccounts(database, Date.now);
  const revocations = createRevocations(database, lifeSeconds.revocation, Date.now);
  try {
    await work(createAccountControl({ accounts, revocations, audit, database }));
  } finally {
    await audit.flush();
    await database.close();
  }
}

const program = new Command('cypher').description('Administers a Cypher that runs on the same database.');
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
        process.stdout.write(`${account.username}\t${account.email ?? '-'}\t${state}\t${account.id}\n`);
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
        process.stdout.write(`${username}: ${done}\n`);
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

program.parseAsync().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
