/** What all files of this folder share: how a model of the library is looked at, and how its payload grows. */
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

/** A class of this provider instance, as its caller replaces and calls it: the library's types leave most of it out. */
export const modelOf = <View>(provider: Provider, name: ModelName): View =>
  (provider as unknown as Record<ModelName, View>)[name];

/** Makes a model store another field. The library reads the list when the first instance is made. */
export function keepInPayload(Model: { IN_PAYLOAD: string[] }, field: string): void {
  const kept = [...Model.IN_PAYLOAD, field];
  Object.defineProperty(Model, 'IN_PAYLOAD', { get: () => kept });
}

/** `new Model(payload)` for what is known to be a payload of it: the library's constructor picks it field by field, slowly. */
export const filled = <M extends object>(Model: new (payload: object) => M, payload: object): M =>
  Object.assign(new Model({}), payload);
