/**
 * oidc-provider's Client. Its keys are in client_keys.ts, its notifications in client_notifications.ts.
 *
 * - `find` looks into our registry, and then among those of the library: the account page, the sites of forward-auth, and
 *   clients whose id is the address of their metadata document.
 * - `compareClientSecret` compares with keyed hashes, two secrets if there are two. The library wants to hold the secret
 *   itself; where we do not know it, it is given one that nobody knows.
 * - `redirectUriAllowed` and `postLogoutRedirectUriAllowed` let an app on the person's own machine listen at any port.
 * - The schema's `scopes` check is left out: it knows nothing of the scopes of APIs.
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

/** Runs `work`, which asks `uri` for this client: on an inner network too, where the operator has registered both. */
export const askFor = <T>(client: object, uri: string, work: () => T): T =>
  operators.has(client) ? byOperatorsChoice(uri, work) : work();

/** Serves the clients of the registry from this provider instance. */
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
      // As long as a wrong secret takes.
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

/** When one of its secrets ends next, in milliseconds since the epoch. */
const goodUntil = (client: KnownClient, now: () => number): number =>
  Math.min(...liveSecrets(client, now).map(({ expiresAt = Number.POSITIVE_INFINITY }) => expiresAt));

function build(Model: ModelClass, client: KnownClient, { matches, now }: ClientModelDeps): Model {
  const [first, ...others] = liveSecrets(client, now).map(({ text }) => withSecret(client.metadata, text));
  // One without a secret has none in the library either: so it is given one when it changes to a method that needs it.
  const metadata =
    first ?? (Model.needsSecret(client.metadata) ? withSecret(client.metadata) : client.metadata);
  // Its sector identifier was looked at when it was registered: no request waits for that again.
  const model = new Model(metadata);
  // A MAC by the secret that is being replaced is as good as one by the new secret.
  for (const other of others) {
    for (const key of new Model(other).symmetricKeyStore) model.symmetricKeyStore.add(key);
  }
  const isOperators = client.source !== 'registration';
  if (isOperators) {
    // The library's word for what its registration endpoints may not touch.
    Object.defineProperty(model, 'noManage', { value: true });
    operators.add(model);
  } else if (isUnknownSecret(first?.client_secret)) {
    recogniseSecret(model, (given) => matches(given, client.secrets, now()));
  }
  overrideClientKeys(model, isOperators, now);
  return model;
}

/**
 * A registration's `scope` may name what APIs have, of which the library's check knows nothing; it is a list of what the app
 * may ask for, and what is unknown in it is given to nobody.
 */
export function keepScopes(provider: Provider): void {
  const { Schema } = modelOf<{ Schema: { prototype: { scopes(): void } } }>(provider, 'Client');
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
 * A client that updates itself repeats its secret (RFC 7592, section 2.2), and the library compares that with
 * `clientSecret`: where it is the right one, that is what it finds there.
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

/** What the registration endpoints store. */
export const clientAdapter = ({ registrations }: Pick<Stores, 'registrations'>): Partial<Adapter> => ({
  // `find` above has looked into the registry before the library asks here.
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
