/**
 * Overrides of oidc-provider's Client: `find` looks into our registry, and `compareClientSecret` compares with keyed
 * hashes, two secrets if there are two. The library wants to hold the secret itself; where we do not know it, it is given
 * one that nobody knows. test/http/provider_internals.test.ts breaks where a release finds or compares otherwise.
 */
import type Provider from 'oidc-provider';
import ProviderClass, { errors } from 'oidc-provider';
import { isRedirectUri } from '../../../config/schema.ts';
import { randomId } from '../../../lib/crypto.ts';
import { createDocumentClients, isAddress } from '../../clients/document_clients.ts';
import { mayBeStrangers } from '../../interaction/policy.ts';
import { byOperatorsChoice, fetchKeysAgain, type KeyHolder } from '../client_fetches.ts';

/** A client of the registry, as far as it matters here. */
export interface KnownClient {
  readonly source: 'file' | 'command' | 'registration';
  /** When it was added, in milliseconds since the epoch, if that is known. */
  readonly since: number | undefined;
  readonly metadata: { readonly [name: string]: unknown };
  readonly secrets: readonly KnownSecret[];
}

interface KnownSecret {
  readonly digest: Buffer;
  readonly text: string | undefined;
  readonly expiresAt: number | undefined;
}

export interface ClientModelDeps {
  /** The same object until the client changes. */
  byId(id: string): Promise<KnownClient | undefined>;
  /** Whether it is one of them; its time depends on neither. */
  matches(given: string, secrets: readonly KnownSecret[], nowMs: number): boolean;
  now: () => number;
}

/** What the library's own code calls, and its key store for MACs. */
interface Model extends KeyHolder {
  clientId: string;
  clientSecret: string | undefined;
  symmetricKeyStore: Iterable<object> & { add(key: object): void };
  compareClientSecret(given: string): boolean;
  applicationType: string;
  redirectUris: string[];
  postLogoutRedirectUris?: string[];
  redirectUriAllowed(uri: string): boolean;
  postLogoutRedirectUriAllowed(uri: string): boolean;
}

interface ModelClass {
  new (metadata: object): Model;
  prototype: Model;
  needsSecret(metadata: object): boolean;
  find(id: string): Promise<Model | undefined>;
  validate(metadata: object): Promise<void>;
}

/** Stands for a secret that we have only a hash of; nobody knows it. */
const unknownSecret = randomId(32);
export const isUnknownSecret = (secret: unknown): boolean => secret === unknownSecret;

/** Metadata as the library takes it: with a secret, wherever it would want one. */
export const withSecret = (metadata: object, secret?: string) => ({
  ...metadata,
  client_secret: secret ?? unknownSecret,
});

const isOperators = ({ source }: KnownClient): boolean => source !== 'registration';

/** Clients that the operator has registered, by file or command. */
const operators = new WeakSet<object>();

/** Runs `work`, which asks `uri` for this client: on an inner network too, where the operator has registered both. */
export const askFor = <T>(client: object, uri: string, work: () => T): T =>
  operators.has(client) ? byOperatorsChoice(uri, work) : work();

/** Serves the clients of the registry from this provider instance. */
export function serveRegisteredClients(provider: Provider, { byId, matches, now }: ClientModelDeps): void {
  const Model = provider.Client as unknown as ModelClass;
  const findStatic = Model.find.bind(Model);
  const built = new WeakMap<KnownClient, { model: Model; goodUntil: number }>();
  const known = new WeakMap<Model, KnownClient>();
  const documents = createDocumentClients(async (id) => {
    const model = disarm(await findStatic(id));
    if (!model) return undefined;
    fetchKeysAgain(model, false, now);
    return model;
  }, now);

  function build(client: KnownClient): Model {
    const live = client.secrets.filter(({ expiresAt }) => expiresAt === undefined || now() < expiresAt);
    const [first, ...others] = live.map(({ text }) => withSecret(client.metadata, text));
    // One without a secret has none in the library either: so it is given one when it changes to a method that needs it.
    const metadata =
      first ?? (Model.needsSecret(client.metadata) ? withSecret(client.metadata) : client.metadata);
    // Its sector identifier was looked at when it was registered: no request waits for that again.
    const model = new Model(metadata);
    // A MAC by the secret that is being replaced is as good as one by the new secret.
    for (const other of others) {
      for (const key of new Model(other).symmetricKeyStore) model.symmetricKeyStore.add(key);
    }
    // The library's word for what its registration endpoints may not touch.
    if (client.source !== 'registration') Object.defineProperty(model, 'noManage', { value: true });
    if (client.source === 'registration' && first?.client_secret === unknownSecret) {
      recogniseSecret(model, (given) => matches(given, client.secrets, now()));
    }
    if (isOperators(client)) operators.add(model);
    fetchKeysAgain(model, isOperators(client), now);
    known.set(model, client);
    const goodUntil = Math.min(
      Number.POSITIVE_INFINITY,
      ...live.map(({ expiresAt }) => expiresAt ?? Number.POSITIVE_INFINITY),
    );
    built.set(client, { model, goodUntil });
    return model;
  }

  Model.find = async (id) => {
    if (typeof id !== 'string' || id === '') return undefined;
    const client = await byId(id);
    if (!client) {
      // As long as a wrong secret takes.
      matches(id, [], now());
      return isAddress(id) ? documents(id) : findStatic(id);
    }
    const ready = built.get(client);
    return ready && now() < ready.goodUntil ? ready.model : build(client);
  };

  Model.prototype.redirectUriAllowed = function (uri) {
    return isAmong(this.redirectUris, uri, listensOnThisMachine(this));
  };
  Model.prototype.postLogoutRedirectUriAllowed = function (uri) {
    return isAmong(this.postLogoutRedirectUris ?? [], uri, listensOnThisMachine(this));
  };

  Model.prototype.compareClientSecret = function (given) {
    return matches(given, known.get(this)?.secrets ?? [], now());
  };
}

/**
 * A registration's `scope` may name what APIs have, of which the library's check knows nothing; it is a list of what the app
 * may ask for, and what is unknown in it is given to nobody.
 */
export function keepScopes(provider: Provider): void {
  const { Schema } = provider.Client as unknown as { Schema: { prototype: { scopes(): void } } };
  Schema.prototype.scopes = function (this: { scope?: string }) {
    if (this.scope) this.scope = [...new Set(this.scope.split(' '))].join(' ');
  };
}

/** An app on the person's own machine waits for the answer at whichever port is free (RFC 8252, section 7.3). */
const listensOnThisMachine = ({ applicationType, clientAuthMethod }: Model): boolean =>
  clientAuthMethod === 'none' || applicationType === 'native';

const loopback = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost))(?::\d{1,5})?(?=[/?]|$)/;

/** Byte for byte; with `anyPort` an http address of this machine may have another port. */
function isAmong(registered: readonly string[], uri: string, anyPort: boolean): boolean {
  if (registered.includes(uri)) return true;
  if (!anyPort || !loopback.test(uri) || !URL.canParse(uri)) return false;
  const withoutPort = (each: string) => each.replace(loopback, '$1');
  return registered.some((each) => withoutPort(each) === withoutPort(uri));
}

/** A client by its metadata document (the draft's `client_id` is its address) is a stranger's. */
function disarm(model: (Model & { clientIdMetadataDocument?: boolean }) | undefined): Model | undefined {
  if (model?.clientIdMetadataDocument) {
    const {
      redirectUris = [],
      postLogoutRedirectUris = [],
      grantTypes = [],
    } = model as unknown as Record<string, string[]>;
    if (!mayBeStrangers(grantTypes))
      throw new errors.InvalidClientMetadata('grant_types must be ones by which a person is asked');
    if (![...redirectUris, ...postLogoutRedirectUris].every(isRedirectUri))
      throw new errors.InvalidClientMetadata(
        'redirect_uris must be https, http on localhost, or an app scheme',
      );
    Object.assign(model, { first_party: false, require_pkce: true, claims: undefined });
  }
  return model;
}

/**
 * A client that updates itself repeats its secret (RFC 7592, section 2.2), and the library compares that with
 * `clientSecret`: where it is the right one, that is what it finds there.
 */
function recogniseSecret(model: Model, matches: (given: string) => boolean): void {
  Object.defineProperty(model, 'clientSecret', {
    enumerable: true,
    get() {
      const { route, body } = ProviderClass.ctx?.oidc ?? {};
      const given = route === 'client_update' ? (body as Record<string, unknown>)?.client_secret : undefined;
      return typeof given === 'string' && matches(given) ? given : unknownSecret;
    },
  });
}

/** One sentence for each of the operator's clients that breaks the library's metadata rules, by the client's id. */
export async function metadataFaults(
  provider: Provider,
  clients: readonly { client_id: string }[],
): Promise<Map<string, string>> {
  const Model = provider.Client as unknown as ModelClass;
  const faults = new Map<string, string>();
  await Promise.all(
    clients.map(async (client) => {
      try {
        await byOperatorsChoice('', () => Model.validate(withSecret(client)));
      } catch (error) {
        const { message, error_description = message } = error as Error & { error_description?: string };
        faults.set(client.client_id, error_description);
      }
    }),
  );
  return faults;
}
