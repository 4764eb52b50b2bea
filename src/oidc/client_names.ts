/**
 * How people are shown which app it is. An app that the operator has registered goes by its name. One that registered
 * itself, or that nobody registered, may call itself anything: the hosts that it answers at stand beside its name, on every
 * page. Pure.
 */
import type { Client } from 'oidc-provider';

const mostHosts = 2;

/** What this site is called on its pages. */
export const ownNames = (issuer: string): string[] => ['Your account', 'Cypher', new URL(issuer).hostname];

/** The name of an app, for every page that names one. */
export function displayNameOf(client: Client): string {
  // The library's mark of clients that do not manage themselves: the operator's, and ours.
  if ((client as { noManage?: boolean }).noManage === true) return client.clientName ?? client.clientId;
  const hosts = hostsOf(client);
  const where = [...hosts.slice(0, mostHosts), ...(hosts.length > mostHosts ? ['others'] : [])];
  return `${client.clientName ?? 'An app'} (${where.join(', ') || 'unverified'})`;
}

function hostsOf(client: Client): string[] {
  const isDocument = (client as { clientIdMetadataDocument?: boolean }).clientIdMetadataDocument === true;
  const addresses = isDocument ? [client.clientId] : (client.redirectUris ?? []);
  return [...new Set(addresses.map(hostOf).filter(Boolean))];
}

/** The host of an address; a native app's has only its scheme. */
function hostOf(uri: string): string {
  const url = URL.parse(uri);
  return url?.host || url?.protocol.slice(0, -1) || '';
}
