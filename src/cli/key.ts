/** `npx cypher key …`: manages the server's keys. The running instances read the changes within seconds. */
import type { Command } from 'commander';
import { createAccounts } from '../accounts/accounts.ts';
import { sealedClientSecrets } from '../clients/secrets.ts';
import { keyEncryptionKey } from '../config/key_encryption_key.ts';
import { reseal } from '../keys/reseal.ts';
import { createRotation, type Rotation } from '../keys/rotation.ts';
import { readKeys, type StoredKey, sealedKeys } from '../keys/store.ts';
import { createSealer, type Sealer } from '../lib/crypto.ts';
import { createRevocations } from '../revocation/revocations.ts';
import { keyKinds, keyPolicies, rotatedTogether } from '../server_keys.ts';
import { sealedSecrets } from '../totp/store.ts';
import { onStage, print, type Stage } from './stage.ts';

interface KeyStage extends Stage {
  sealer: Sealer;
  keys: StoredKey[];
  rotation: Rotation;
}

const withKeys = (work: (stage: KeyStage) => Promise<void>): Promise<void> =>
  onStage(async (stage) => {
    const { config, database, audit, now } = stage;
    const sealer = createSealer(keyEncryptionKey(config).key, config.KEY_ENCRYPTION_KEY_PREVIOUS);
    const keys = await readKeys(database.query, sealer);
    const rotation = createRotation({
      database,
      sealer,
      kinds: keyKinds,
      policies: keyPolicies(config),
      // A command must not retire keys. The servers do that.
      inUse: async () => true,
      onChange: (change) => audit.record({ event: 'key.changed', detail: { ...change } }),
      now,
    });
    await work({ ...stage, sealer, keys, rotation });
  });

const time = (ms: number | undefined) => (ms === undefined ? '-' : new Date(ms).toISOString());

/** The full name of a kind: `RS256` is short for `jwk RS256`. */
const kindCalled = (name: string) =>
  Object.keys(keyKinds).find((kind) => kind === name || kind.endsWith(` ${name}`)) ?? name;

/** Adds the commands of the group `key`. */
export function addKeyCommands(key: Command): void {
  key
    .command('list')
    .description('all keys: kind, id, state, since when, until when')
    .action(() =>
      withKeys(async ({ keys }) => {
        for (const { kind, id, state, since, until } of keys)
          print(`${kind}\t${id}\t${state}\t${time(since)}\t${time(until)}`);
      }),
    );

  key
    .command('rotate [kind...]')
    .description('have the keys of a kind (without one: of all kinds but opaque) followed by new ones')
    .action((words: string[]) =>
      withKeys(async ({ rotation }) => {
        const kinds = words.length > 0 ? [kindCalled(words.join(' '))] : rotatedTogether;
        for (const kind of kinds) {
          const { id, signsAt, made } = await rotation.rotate(kind);
          const which = made ? 'is published' : 'waits already, so none was made: it is published';
          print(`${kind}: ${id} ${which} and signs from ${time(signsAt)}`);
        }
      }),
    );

  key
    .command('drop <id>')
    .description('emergency: a key, and all that was made with it, ends now')
    .option(
      '--accounts-lose-access',
      'for an opaque key: nobody can sign in any more whose password was set with it',
    )
    .action((id: string, { accountsLoseAccess = false }: { accountsLoseAccess?: boolean }) =>
      withKeys((stage) => dropKey(stage, id, accountsLoseAccess)),
    );

  key
    .command('reseal')
    .description('seal again what is still sealed under KEY_ENCRYPTION_KEY_PREVIOUS')
    .action(() =>
      withKeys(async ({ database, sealer }) => {
        // The keys come last. So a server without the previous key-encryption key starts only if all is done.
        for (const column of [sealedSecrets, sealedClientSecrets, sealedKeys]) {
          const done = await reseal(database, sealer, column, (rows) =>
            process.stderr.write(`${column.table}: ${rows} …\r`),
          );
          print(`${column.table}: ${done} sealed again`);
        }
        print('KEY_ENCRYPTION_KEY_PREVIOUS is needed no more');
      }),
    );
}

/** Drops a key. It can be repeated after an interruption, because the accounts still name the key that is gone. */
async function dropKey(stage: KeyStage, id: string, accountsLoseAccess: boolean): Promise<void> {
  const { database, keys, rotation, now } = stage;
  const accounts = createAccounts(database, now);
  const stored = keys.find((each) => each.id === id);
  const some = stored && stored.kind !== 'opaque' ? [] : await accounts.withOpaqueKey(id, database.query);
  if (some.length > 0 && !accountsLoseAccess)
    throw new RangeError(
      `there are accounts whose passwords were set with ${id}: nobody could sign in with them any more. Say --accounts-lose-access if that is meant, or rotate the key and have the passwords changed`,
    );
  if (stored || some.length === 0) {
    const { kind } = await rotation.drop(id);
    print(`${kind}: ${id} was dropped`);
  }
  const revocations = createRevocations(database, now);
  let ended = 0;
  for (let batch = some; batch.length > 0; ) {
    for (const accountId of batch) await revocations.endAccount(accountId);
    ended += batch.length;
    process.stderr.write(`signed out: ${ended} …\r`);
    batch = await accounts.withOpaqueKey(id, database.query, batch.at(-1));
  }
  if (ended > 0) print(`${ended} accounts were signed out and cannot sign in`);
}
