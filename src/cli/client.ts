/** `npx cypher client …`: manages the apps and APIs in the database. It also shows those of CLIENTS_FILE. */
import type { Command } from 'commander';
import { type ClientControl, createClientControl, type ListedClient } from '../clients/control.ts';
import { createClientSecrets } from '../clients/secrets.ts';
import { createClientStore } from '../clients/store.ts';
import { derivedFor, privateJwks } from '../server_keys.ts';
import { type AddOptions, metadataOf } from './client_metadata.ts';
import { secondsOf } from './duration.ts';
import { openKeys } from './keyring.ts';
import { printListing } from './listing.ts';
import { onStage, print, printJson, printTable, tableOf } from './stage.ts';

const withClients = (work: (control: ClientControl) => Promise<void>): Promise<void> =>
  onStage(async (stage) => {
    const { config, database, audit, now } = stage;
    const { keyring, sealer } = await openKeys(stage);
    return work(
      createClientControl({
        ofFile: config.clients,
        store: createClientStore(database, now),
        secrets: createClientSecrets(keyring.derive(derivedFor.clientSecrets), sealer),
        // oidc-provider's rules are loaded only if there is something to check, because that takes long.
        async check(metadata) {
          const { createMetadataCheck } = await import('../oidc/library/metadata_check.ts');
          return createMetadataCheck(config, privateJwks(keyring))(metadata);
        },
        audit,
        now,
      }),
    );
  });

/** Adds the commands of the group `client`. */
export function addClientCommands(client: Command): void {
  addAdd(client);
  addList(client);
  addShow(client);
  addRotateSecret(client);
  addRegistrationToken(client);
  addResume(client);
  addRemove(client);
}

function addAdd(client: Command): void {
  client
    .command('add <client-id>')
    .description('register an app; its secret is shown once')
    .option('--name <name>', 'what people are shown')
    .option('--redirect-uri <uri...>', 'where a sign-in comes back to')
    .option('--post-logout-redirect-uri <uri...>', 'where a sign-out comes back to')
    .option('--backchannel-logout-uri <uri>', 'where the app is told that a session of it has ended')
    .option('--login-uri <uri>', 'where the app begins a sign-in; makes it a link on the home page')
    .option(
      '--public',
      'an app without a server of its own: no secret; http redirects to this machine with any port',
    )
    .option('--auth-method <method>', 'token_endpoint_auth_method, if not client_secret_basic')
    .option('--grant-type <type...>', 'if not authorization_code and refresh_token')
    .option('--api', 'an API that only introspects tokens')
    .option('--first-party', 'asks nobody for consent')
    .option('--no-pkce', 'excuse a confidential app from PKCE')
    .option('--id-token-alg <alg>', 'how its ID tokens are signed, if not RS256; ES256 costs a tenth')
    .option('--no-id-token-at-refresh', 'leave the ID token out of the answer to a refresh')
    .option('--metadata <file>', 'a JSON object of OpenID registration metadata; options above win over it')
    .option('--json', 'print JSON')
    .action((id: string, options: AddOptions) =>
      withClients(async (control) => {
        const { metadata, secret } = await control.add(metadataOf(id, options));
        const shown = { ...metadata, ...(secret === undefined ? {} : { client_secret: secret }) };
        if (options.json) return printJson(shown);
        print(`client_id:     ${id}`);
        if (metadata.token_endpoint_auth_method === 'none')
          print(
            'A public app: no secret. Redirects to http://127.0.0.1, [::1] and localhost are taken with any port.',
          );
        if (secret !== undefined)
          print(`client_secret: ${secret}\nKeep the secret now: it is not shown again.`);
      }),
    );
}

function addList(client: Command): void {
  client
    .command('list')
    .description('all of them, with where they come from')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) =>
      withClients(async (control) => {
        const row = ({ metadata, source, hidden, suspended }: ListedClient): string[] => [
          metadata.client_id,
          metadata.client_name ?? '-',
          hidden
            ? `${source}, hidden by CLIENTS_FILE`
            : suspended
              ? `${source}, suspended since a restore`
              : source,
          metadata.token_endpoint_auth_method,
        ];
        const lines = (page: readonly ListedClient[]) => tableOf(page.map(row));
        await printListing(control.list(), { json: json ?? false, shown, lines });
      }),
    );
}

function addShow(client: Command): void {
  client
    .command('show <client-id>')
    .description('its metadata and which secrets it has')
    .option('--json', 'print JSON')
    .action((id: string, { json }: { json?: true }) =>
      withClients(async (control) => {
        const found = await control.show(id);
        if (json) return printJson(shown(found));
        printTable([
          ['source', found.source],
          ...Object.entries(found.metadata).map(([name, value]) => [name, textOf(value)]),
        ]);
        for (const secret of found.secrets) {
          const end = secret.expiresAt ? `, good until ${secret.expiresAt.toISOString()}` : '';
          print(`secret ${secret.id}: made ${secret.createdAt.toISOString()}${end}`);
        }
      }),
    );
}

function addRotateSecret(client: Command): void {
  client
    .command('rotate-secret <client-id>')
    .description('make a new secret; the old one stays good for the overlap')
    .option('--overlap <time>', 'such as 30m, 24h, 7d; 0 ends the old one now', '24h')
    .option('--json', 'print JSON')
    .action((id: string, { overlap, json }: { overlap: string; json?: true }) =>
      withClients(async (control) => {
        const { secret, othersEndAt } = await control.rotateSecret(id, secondsOf(overlap));
        if (json) return printJson({ client_id: id, client_secret: secret, old_until: othersEndAt });
        print(
          `client_secret: ${secret}\nKeep it now: it is not shown again. The one before is good until ${othersEndAt.toISOString()}.`,
        );
      }),
    );
}

function addRegistrationToken(client: Command): void {
  client
    .command('registration-token')
    .description('an initial access token: whoever has it may register apps (REGISTRATION=token)')
    .option('--expires <time>', 'such as 1h, 7d', '24h')
    .option('--no-pkce', 'apps with a secret or key of their own may do without PKCE')
    .option('--json', 'print JSON')
    .action(({ expires, pkce, json }: { expires: string; pkce: boolean; json?: true }) =>
      onStage(async ({ database, audit, now }) => {
        const { makeInitialAccessToken } = await import('../oidc/clients/initial_access_tokens.ts');
        const { token, expiresAt } = await makeInitialAccessToken(
          database,
          { seconds: secondsOf(expires), pkce },
          now,
        );
        audit.record({ event: 'registration_token.made', detail: { expiresAt: expiresAt.toISOString() } });
        if (json) return printJson({ registration_token: token, expires_at: expiresAt });
        print(`${token}\nKeep it now: it is not shown again. It is good until ${expiresAt.toISOString()}.`);
      }),
    );
}

function addResume(client: Command): void {
  client
    .command('resume [client-id]')
    .description('after a restore: confirm an app of the backup, which is suspended until then')
    .option('--all', 'confirm all of them')
    .action((id: string | undefined, { all }: { all?: true }) =>
      withClients(async (control) => {
        if ((id === undefined) === (all === undefined)) throw new Error('name one app, or say --all');
        for (const resumed of await control.resume(id)) print(`${resumed}: resumed`);
      }),
    );
}

function addRemove(client: Command): void {
  client
    .command('remove <client-id>')
    .description('remove it; its tokens are worth nothing from then on')
    .action((id: string) =>
      withClients(async (control) => {
        await control.remove(id);
        print(`${id}: removed`);
      }),
    );
}

const shown = ({ source, metadata, hidden, suspended, secrets }: ListedClient) => ({
  ...metadata,
  source,
  hidden,
  suspended,
  secrets: secrets.map(({ id, createdAt, expiresAt }) => ({
    id,
    created_at: createdAt,
    expires_at: expiresAt,
  })),
});

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
