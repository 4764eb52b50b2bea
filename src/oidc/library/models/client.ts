/**
 * oidc-provider's Client. Its keys are in client_keys.ts, its notifications in client_notifications.ts.
 *
 * - `find` looks in our registry first. Then it looks among the library's clients: the account page, the sites of
 *   forward-auth, and clients whose id is the URL of their metadata document.
 * - `compareClientSecret` compares keyed hashes, with every secret that the client has. The library expects to hold
 *   the secret itself. If we have only a hash, it gets a random secret that nobody knows.
 * - `redirectUriAllowed` and `postLogoutRedirectUriAllowed` allow an app on the person's own machine any port.
 * - The schema's `scopes` check is replaced, because the library does not know the scopes of APIs.
 */
import type Provider from 'oidc-provider';
import { type Adapter, type AdapterPayload, errors } from 'oidc-provider';
import { isRedirectUri } from '../../../config/client_schema.ts';
import { createDocumentClients, isAddress } from '../../clients/document_clients.ts';
import { mayBeStrangers } from '../../clients/policy.ts';
import { isUnknownSecret, withSecret } from '../../clients/unknown_secret.ts';
import { byOperatorsChoice } from '../client_fetches.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { type KeyHolder, overrideClientKeys } from './client_keys.ts';
import { modelOf } from './model.ts';

/** The fields of a registered client that this file needs. */
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
  /** Resolves with the same object until the client changes: models are cached by it. */
  byId(id: string): Promise<KnownClient | undefined>;
  /** Whether `given` is one of the secrets. The time it takes must not reveal anything about them. */
  matches(given: string, secrets: readonly KnownSecret[], nowMs: number): boolean;
  now: () => number;
}

/** The members of the library's model that we use, with its key store for MACs. */
interface Model extends KeyHolder {
  clientId: string;
  clientSecret: string | undefined;
  symmetricKeyStore: Iterable<object> & { add(key: object): void };
  applicationType: string;
  redirectUris: string[] | undefined;
  grantTypes: string[] | undefined;
  postLogoutRedirectUris: string[] | undefined;
}

interface ModelClass {
  new (metadata: object): Model;
  prototype: Model;
  needsSecret(metadata: object): boolean;
  find(id: string): Promise<Model | undefined>;
  validate(metadata: object): Promise<void>;
}

/** Clients that the operator has registered, by file or command. */
const operators = new WeakSet<object>();

/**
 * Runs `work`, which fetches `uri` for this client. For an operator's client, `uri` may be on an internal network.
 */
export const askFor = <T>(client: object, uri: string, work: () => T): T =>
  operators.has(client) ? byOperatorsChoice(uri, work) : work();

/** Makes this provider serve the clients of the registry. */
export function overrideClient(provider: Provider, deps: ClientModelDeps): void {
  const { byId, matches, now } = deps;
  const Model = modelOf<ModelClass>(provider, 'Client');
  const findStatic = Model.find.bind(Model);
  const built = new WeakMap<KnownClient, { model: Model; goodUntil: number }>();
  const known = new WeakMap<Model, KnownClient>();
  const documents = createDocumentClients(async (id) => {
    const model = disarm(await findStatic(id));
    if (model) overrideClientKeys(model, false, now);
    return model;
  }, now);

  Model.find = async (id) => {
    if (typeof id !== 'string' || id === '') return undefined;
    const client = await byId(id);
    if (!client) {
      // Takes as long as comparing a wrong secret, so the time does not reveal which client ids exist.
      matches(id, [], now());
      return isAddress(id) ? documents(id) : findStatic(id);
    }
    const ready = built.get(client);
    if (ready && now() < ready.goodUntil) return ready.model;
    const model = build(Model, client, deps);
    known.set(model, client);
    built.set(client, { model, goodUntil: goodUntil(client, now) });
    return model;
  };

  Object.assign(Model.prototype, {
    redirectUriAllowed(this: Model, uri: string) {
      return isAmong(this.redirectUris ?? [], uri, listensOnThisMachine(this));
    },
    postLogoutRedirectUriAllowed(this: Model, uri: string) {
      return isAmong(this.postLogoutRedirectUris ?? [], uri, listensOnThisMachine(this));
    },
    compareClientSecret(this: Model, given: string) {
      return matches(given, known.get(this)?.secrets ?? [], now());
    },
  });
}

const liveSecrets = ({ secrets }: KnownClient, now: () => number): KnownSecret[] =>
  secrets.filter(({ expiresAt }) => expiresAt === undefined || now() < expiresAt);

/** When the next of its secrets expires, in milliseconds since the epoch. Infinity if none does. */
const goodUntil = (client: KnownClient, now: () => number): number =>
  Math.min(...liveSecrets(client, now).map(({ expiresAt = Number.POSITIVE_INFINITY }) => expiresAt));

function build(Model: ModelClass, client: KnownClient, { matches, now }: ClientModelDeps): Model {
  const [first, ...others] = liveSecrets(client, now).map(({ text }) => withSecret(client.metadata, text));
  // Without a live secret, the model gets the unknown one only if the client's method needs a secret. Otherwise it
  // has none, and the library makes one when the client changes to a method that needs it.
  const metadata =
    first ?? (Model.needsSecret(client.metadata) ? withSecret(client.metadata) : client.metadata);
  // The constructor does not validate the sector identifier again. That was done at registration, and needs a fetch.
  const model = new Model(metadata);
  // During a rotation, a MAC made with the old secret is accepted as well.
  for (const other of others) {
    for (const key of new Model(other).symmetricKeyStore) model.symmetricKeyStore.add(key);
  }
  const isOperators = client.source !== 'registration';
  if (isOperators) {
    // Clients with this mark of the library's cannot be changed through its registration endpoints.
    Object.defineProperty(model, 'noManage', { value: true });
    operators.add(model);
  } else if (isUnknownSecret(first?.client_secret)) {
    recogniseSecret(model, (given) => matches(given, client.secrets, now()));
  }
  overrideClientKeys(model, isOperators, now);
  return model;
}

/**
 * Replaces the library's check of a client's `scope`, which does not know the scopes of APIs. The list only limits
 * what the client may request. An unknown scope in it is never granted.
 */
export function keepScopes(provider: Provider): void {
  const { Schema } = modelOf<{ Schema: { prototype: { scopes(): void } } }>(provider, 'Client');
  Schema.prototype.scopes = function (this: { scope?: string }) {
    if (this.scope) this.scope = [...new Set(this.scope.split(' '))].join(' ');
  };
}

/** Whether the app may run on the person's own machine. Then it listens at any free port (RFC 8252, section 7.3). */
const listensOnThisMachine = ({ applicationType, clientAuthMethod }: Model): boolean =>
  clientAuthMethod === 'none' || applicationType === 'native';

const loopback = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost))(?::\d{1,5})?(?=[/?]|$)/;

/** Whether `uri` is registered, byte for byte. With `anyPort`, an http loopback address may have another port. */
function isAmong(registered: readonly string[], uri: string, anyPort: boolean): boolean {
  if (registered.includes(uri)) return true;
  if (!anyPort || !loopback.test(uri) || !URL.canParse(uri)) return false;
  const withoutPort = (each: string) => each.replace(loopback, '$1');
  return registered.some((each) => withoutPort(each) === withoutPort(uri));
}

/**
 * Restricts a client that is identified by its metadata document, because the operator does not know it. It is not
 * first-party, must use PKCE and has no mapped claims. Throws InvalidClientMetadata for a grant type by which no
 * person is asked, and for a redirect URI that registration would refuse.
 */
function disarm(model: (Model & { clientIdMetadataDocument?: boolean }) | undefined): Model | undefined {
  if (model?.clientIdMetadataDocument) {
    const { redirectUris = [], postLogoutRedirectUris = [], grantTypes = [] } = model;
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
 * A client that updates its registration repeats its secret (RFC 7592, section 2.2). The library compares it with
 * `clientSecret`, which we do not have. So that property returns the presented secret if `matches` accepts it.
 */
function recogniseSecret(model: Model, matches: (given: string) => boolean): void {
  const secret = model.clientSecret;
  Object.defineProperty(model, 'clientSecret', {
    enumerable: true,
    get() {
      const scope = currentScope();
      const given = scope?.route === 'client_update' ? scope.ctx.oidc.body?.client_secret : undefined;
      return typeof given === 'string' && matches(given) ? given : secret;
    },
  });
}

/**
 * Stores the clients of the registration endpoints. Throws InvalidClientMetadata if the name looks like another
 * app's.
 */
export const clientAdapter = ({ registrations }: Pick<Stores, 'registrations'>): Partial<Adapter> => ({
  // The overridden `Client.find` has already looked in the registry.
  find: async () => undefined,
  async upsert(_id: string, payload: AdapterPayload) {
    const {
      client_secret: secret,
      client_secret_expires_at: _,
      ...metadata
    } = payload as AdapterPayload & {
      client_id: string;
      client_secret?: string;
    };
    const { client_name: name } = metadata as { client_name?: string };
    if (name !== undefined && (await registrations.looksTaken(name)))
      throw new errors.InvalidClientMetadata('client_name must not look like that of another app here');
    await registrations.save(metadata, isUnknownSecret(secret) ? undefined : secret);
  },
  destroy: (id: string) => registrations.remove(id),
});
