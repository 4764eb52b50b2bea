/**
 * How people are shown which app it is. An app that the operator has registered goes by its name. One that registered
 * itself, or that nobody registered, may call itself anything and may claim any address. Beside its name stands only
 * what is proven: the host that receives the answer to this request.
 */
import type { Client } from 'oidc-provider';
import { nameFault } from '../../clients/names.ts';
import { webHostOf } from '../../http/onward.ts';

/** What this site is called on its pages. */
export const ownNames = (issuer: string): string[] => ['Your account', 'Cypher', new URL(issuer).hostname];

/**
 * The name of an app, for every page that names one. `answerUri`: the verified address to which this request sends the
 * browser, if it sends it anywhere. Never rejects: a name that cannot be checked is not shown.
 */
export type AppNames = (client: Client, answerUri?: string) => Promise<string>;

/** `looksLike`: whether an app of the operator's has a name that looks like this one, at this moment. */
export function createAppNames(
  own: readonly string[],
  looksLike: (name: string) => Promise<boolean>,
): AppNames {
  const misleads = async (name: string) =>
    nameFault(name, own) !== undefined || (await looksLike(name).catch(() => true));

  return async (client, answerUri = '') => {
    const { clientId, clientName: name } = client;
    // The library's mark of clients that do not manage themselves: the operator's, and ours.
    if ((client as { noManage?: boolean }).noManage === true) return name ?? clientId;
    const shown = name === undefined || (await misleads(name)) ? 'An app' : name;
    return `${shown} (${webHostOf(answerUri) || 'not verified'})`;
  };
}
