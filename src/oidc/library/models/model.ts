/** Shared by the files of this folder: typed access to the library's models, and to the fields that they store. */
import type Provider from 'oidc-provider';

export type ModelName =
  | 'AccessToken'
  | 'AuthorizationCode'
  | 'BackchannelAuthenticationRequest'
  | 'Claims'
  | 'Client'
  | 'ClientCredentials'
  | 'DeviceCode'
  | 'Grant'
  | 'IdToken'
  | 'Interaction'
  | 'OIDCContext'
  | 'RefreshToken'
  | 'ReplayDetection'
  | 'Session';

/** A model class of this provider, typed as `View`. The library's own types leave out most of its members. */
export const modelOf = <View>(provider: Provider, name: ModelName): View =>
  (provider as unknown as Record<ModelName, View>)[name];

/** Makes a model store another field. Must run before the first instance: the library reads the list only then. */
export function keepInPayload(Model: { IN_PAYLOAD: string[] }, field: string): void {
  const kept = [...Model.IN_PAYLOAD, field];
  Object.defineProperty(Model, 'IN_PAYLOAD', { get: () => kept });
}

/** Does the same as `new Model(payload)` for a complete payload, but faster: the constructor picks field by field. */
export const filled = <M extends object>(Model: new (payload: object) => M, payload: object): M =>
  Object.assign(new Model({}), payload);
