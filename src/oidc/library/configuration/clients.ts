/**
 * oidc-provider's settings for clients: the built-in ones, defaults, own metadata fields, and authentication methods.
 */

import type { ClientAuthMethod, Configuration } from 'oidc-provider';
import type { Config } from '../../../config/load.ts';
import type { Resource } from '../../../config/schema.ts';
import type { Current } from '../../../lib/current.ts';
import { accountClient } from '../../clients/account_client.ts';
import { ownNames } from '../../clients/client_names.ts';
import { holdToFapi } from '../../clients/fapi.ts';
import { forwardAuthClients } from '../../clients/forward_auth_clients.ts';
import { checkStranger, mayOmitPkce } from '../../clients/registration.ts';
import { checkRequestUris } from '../../requests/request_uris.ts';

type ClientConfiguration = Pick<
  Configuration,
  'clients' | 'clientDefaults' | 'clientAuthMethods' | 'extraClientMetadata'
>;

/** The part of the configuration that is about clients. */
export function clientConfiguration(
  config: Config,
  resources: Current<readonly Resource[]>,
): ClientConfiguration {
  return {
    // Only the built-in clients. The client model finds all others in the registry.
    clients: [
      accountClient(config.ISSUER),
      ...(config.forwardAuth ? forwardAuthClients(config.ISSUER, config.forwardAuth) : []),
    ] as NonNullable<Configuration['clients']>,
    clientDefaults: {
      grant_types: ['authorization_code'],
      // A logout token without `sid` would end all of a person's sessions at the app, also those of other browsers.
      backchannel_logout_session_required: true,
    },
    clientAuthMethods: authMethods(config),
    extraClientMetadata: {
      properties: ['first_party', 'require_pkce', 'id_token_at_refresh', 'fapi', 'claims', 'request_uris'],
      validator(ctx, name, value, metadata) {
        // `ctx` is set when a client registers itself, and undefined when the operator's clients are checked.
        if (ctx && name === 'first_party')
          checkStranger(metadata, {
            withoutPkce: mayOmitPkce(ctx),
            resources: resources.current(),
            ownNames: ownNames(config.ISSUER),
          });
        checkRequestUris(name, value);
        holdToFapi(ctx, name, value, metadata);
      },
    },
  };
}

function authMethods({ CLIENT_CERTIFICATE_HEADER, CLIENT_CA }: Config): ClientAuthMethod[] {
  const methods: ClientAuthMethod[] = [
    'client_secret_basic',
    'client_secret_post',
    'client_secret_jwt',
    'private_key_jwt',
    'none',
  ];
  if (CLIENT_CERTIFICATE_HEADER) methods.push('self_signed_tls_client_auth');
  if (CLIENT_CERTIFICATE_HEADER && CLIENT_CA) methods.push('tls_client_auth');
  return methods;
}
