/**
 * The name that pages show for an app. An app that the operator has registered is shown by its own name. Any other
 * app can choose any name and claim any address. So its name is followed by the only fact that is verified: the host
 * that receives the answer to this request.
 */
import type { Client } from 'oidc-provider';
import { nameFault } from '../../clients/names.ts';
import { webHostOf } from '../../http/onward.ts';

/** The names of this site on its pages. Apps must not imitate them. */
export const ownNames = (issuer: string): string[] => ['Your account', 'Cypher', new URL(issuer).hostname];

/**
 * Resolves with the name of an app, for every page that shows one. `answerUri`: the verified address that this
 * request redirects the browser to, if any. Does not reject if the name cannot be checked: then the name is not
 * shown.
 */
export type AppNames = (client: Client, answerUri?: string) => Promise<string>;

/** `own`: names of this site. `looksLike`: whether the operator has an app whose name looks like this one. */
export function createAppNames(
  own: readonly string[],
  looksLike: (name: string) => Promise<boolean>,
): AppNames {
  const misleads = async (name: string) =>
    nameFault(name, own) !== undefined || (await looksLike(name).catch(() => true));

  return async (client, answerUri = '') => {
    const { clientId, clientName: name } = client;
    // Clients with this mark cannot change their own registration. They are the operator's, and the built-in ones.
    if ((client as { noManage?: boolean }).noManage === true) return name ?? clientId;
    const shown = name === undefined || (await misleads(name)) ? 'An app' : name;
    return `${shown} (${webHostOf(answerUri) || 'not verified'})`;
  };
}
