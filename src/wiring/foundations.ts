/**
 * Builds what everything else needs: the keys, and all that is built from them, from storage and from the clock.
 * Nothing here knows HTTP, pages or oidc-provider.
 */
import { type Accounts, createAccounts } from '../accounts/accounts.ts';
import { createAuthenticatorResets } from '../accounts/authenticator_resets.ts';
import { createInvitations } from '../accounts/invitations.ts';
import { createBuckets } from '../authentication/buckets.ts';
import { createFailures } from '../authentication/failures.ts';
import { createKnownBrowsers } from '../authentication/known_browsers.ts';
import { createStepTokens } from '../authentication/step_tokens.ts';
import { createRegistrations } from '../clients/registrations.ts';
import { createClientRegistry } from '../clients/registry.ts';
import { createClientSecrets } from '../clients/secrets.ts';
import { createClientStore } from '../clients/store.ts';
import { createConsents } from '../consents/consents.ts';
import { createDeliveryStore } from '../deliveries/store.ts';
import { createNetworks } from '../http/networks.ts';
import { type Keyring, openKeyring } from '../keys/keyring.ts';
import { createRotation } from '../keys/rotation.ts';
import { createSealer, type Sealer } from '../lib/crypto.ts';
import { createRecordStore } from '../oidc/library/record_store.ts';
import { createOpaque } from '../opaque/opaque.ts';
import { createRefreshStore } from '../refresh/store.ts';
import { createRevocations } from '../revocation/revocations.ts';
import {
  derivedFor,
  deviceKeysOf,
  fakeOpaqueKeysOf,
  keyKinds,
  keyPolicies,
  opaqueVersionsOf,
  tokenKeysetOf,
} from '../server_keys.ts';
import { createSessionStore } from '../sessions/store.ts';
import { createCounts } from '../storage/counts.ts';
import { createEphemeral } from '../storage/ephemeral.ts';
import { createRestoreGuard, type RestoreGuard } from '../storage/restore_guard.ts';
import { createMarkCopies, markPurpose } from '../storage/restore_marks.ts';
import { createTokens } from '../tokens/tokens.ts';
import { createTotp } from '../totp/totp.ts';
import type { Ground } from './deps.ts';

/** Wrong passwords and codes that an address may have in an hour, at least: the bound if few attempts are allowed. */
const leastAddressFailures = 20;

export type Foundations = Awaited<ReturnType<typeof layFoundations>>;

/** Opens the keyring, makes the keys that are missing, and builds on them. Rejects if the database cannot be read. */
export async function layFoundations(ground: Ground) {
  const { database, log, now } = ground;
  const accounts = createAccounts(database, now);
  const sealer = createSealer(ground.kek, ground.previousKek);
  const keyring = await openKeyring(database, sealer, keyKinds, { log, now });
  const restoreGuard = createRestoreGuard({
    database,
    copies: createMarkCopies(keyring.derive(markPurpose), ground.cache, ground.markFile),
    toleranceMs: ground.config.FAILOVER_LOSS_SECONDS * 1000,
    log,
  });
  const vault = { accounts, sealer, keyring, restoreGuard };
  return {
    ...vault,
    ...(await buildOnKeys(ground, vault)),
    ...(await buildClients(ground, vault)),
    ...buildStores(ground, vault),
  };
}

interface Vault {
  accounts: Accounts;
  sealer: Sealer;
  keyring: Keyring;
  restoreGuard: RestoreGuard;
}

/** What makes and verifies tokens, passwords and codes. */
async function buildOnKeys(ground: Ground, { accounts, sealer, keyring, restoreGuard }: Vault) {
  const { config, database, log, audit, now } = ground;
  const policies = keyPolicies(config);
  const rotation = createRotation({
    database,
    sealer,
    kinds: keyKinds,
    policies,
    inUse: async (query, { kind, id }) =>
      kind === 'opaque' && (await accounts.withOpaqueKey(id, query)).length > 0,
    onChange(change) {
      log.info(change, 'a key has changed its state');
      audit.record({ event: 'key.changed', detail: { ...change } });
    },
    now,
  });
  const tokens = createTokens({
    issuer: config.ISSUER,
    keyset: tokenKeysetOf(keyring, policies),
    lookForKeys: keyring.look,
    history: restoreGuard,
    now,
  });
  const opaque = await createOpaque({
    versions: opaqueVersionsOf(keyring),
    fakeKeys: fakeOpaqueKeysOf(keyring),
    unknownNameKey: keyring.derive('unknown names'),
    lookForVersions: keyring.look,
  });
  const totp = createTotp({
    issuer: config.ISSUER,
    sealer,
    setupKey: keyring.derive('totp set-up'),
    recoveryKey: keyring.derive('recovery codes'),
    recoveryCodesKey: keyring.derive('new recovery codes'),
    onUnreadable(accountId, cause) {
      log.error({ account: accountId, cause }, 'the secret of an authenticator cannot be read');
      audit.record({ event: 'totp.unreadable', accountId });
    },
    now,
  });
  return {
    rotation,
    tokens,
    stepTokens: createStepTokens(tokens, now),
    opaque,
    totp,
    recoveryCodesLeft: (accountId: string) => totp.recoveryCodesLeft(database.query, accountId),
    /** Passes changed keys to what is built above. This takes effect immediately, and no request notices it. */
    useKeys() {
      tokens.useKeys(tokenKeysetOf(keyring, policies));
      opaque.useVersions(opaqueVersionsOf(keyring));
    },
  };
}

/** The apps, and what is refreshed if the database has returned to an older state. */
async function buildClients({ database, now }: Ground, { sealer, keyring, restoreGuard }: Vault) {
  const clientStore = createClientStore(database, now);
  const clientSecrets = createClientSecrets(keyring.derive(derivedFor.clientSecrets), sealer);
  const clients = createClientRegistry({ database, store: clientStore, secrets: clientSecrets });
  restoreGuard.follow(async () => {
    await keyring.refresh();
    await clientStore.renewNameKeys();
    clients.forgetAll();
  });
  await restoreGuard.look();
  await clientStore.renewNameKeys();
  return {
    clients,
    clientSecrets,
    registrations: createRegistrations({
      store: clientStore,
      registry: clients,
      secrets: clientSecrets,
      now,
    }),
  };
}

/** What is stored about people, and what limits guesses at their accounts. */
function buildStores({ config, database, audit, now, instance }: Ground, { accounts, keyring }: Vault) {
  const knownBrowsers = createKnownBrowsers(() => deviceKeysOf(keyring));
  const networksOf = createNetworks(config.TRUSTED_NETWORKS);
  const revocations = createRevocations(database, now);
  return {
    invitations: createInvitations({ database, accounts, audit, now }),
    resets: createAuthenticatorResets({ database, accounts, revocations, audit, now }),
    failures: createFailures(database, now),
    knownBrowsers,
    networksOf,
    counts: createCounts(database, now),
    buckets: createBuckets({
      key: keyring.derive('failure buckets'),
      knownBrowsers,
      networksOf,
      limits: {
        account: config.LIMIT_ACCOUNT_FAILURES,
        address: Math.max(leastAddressFailures, config.LIMIT_ADDRESS_PER_MINUTE / 2),
      },
      now,
    }),
    ephemeral: createEphemeral(database, now),
    sessions: createSessionStore({ database, now }),
    records: createRecordStore(database, now),
    revocations,
    consents: createConsents(database, now),
    refresh: createRefreshStore(database, {
      successorKey: keyring.derive(derivedFor.refreshSuccessors),
      leewayMs: config.REFRESH_LEEWAY_SECONDS * 1000,
      now,
      instance,
    }),
    deliveryStore: createDeliveryStore(database, now),
  };
}
