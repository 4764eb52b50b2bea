/**
 * Override of oidc-provider's Interaction.find where a request for authorization goes on after its pages: an answer counts
 * for the session that it was given in. Where another one is in the browser by now, the library either refuses or, after a
 * login, signs that one out. Here the request goes on for whoever is signed in, without the answer: everything is checked anew.
 * test/http/resumed_sign_ins.test.ts breaks where a release looks at an interaction otherwise.
 */
import type Provider from 'oidc-provider';
import ProviderClass from 'oidc-provider';

interface Resumed {
  session?: { uid?: string; accountId?: string } | undefined;
  result?: { login?: { accountId: string; ts?: number } } | undefined;
  deviceCode?: string | undefined;
}

interface Present {
  uid: string;
  accountId?: string;
  loginTs?: number;
}

/** Makes what is resumed go on with the session of the browser that resumes it. */
export function resumeWithPresentSession(provider: Provider): void {
  const Interaction = provider.Interaction as unknown as { find(id: string): Promise<Resumed | undefined> };
  const find = Interaction.find.bind(Interaction);
  Interaction.find = async (id) => {
    const found = await find(id);
    const oidc = ProviderClass.ctx?.oidc;
    if (!found || (oidc?.route !== 'resume' && oidc?.route !== 'device_resume')) return found;
    const present = oidc.session as unknown as Present;
    if (!isOvertaken(found, present)) return found;
    const forAnother = found.deviceCode !== undefined && present.accountId !== personOf(found);
    // A device's code was confirmed by one person and is not connected to another's account: the library refuses it so.
    found.session = forAnother ? { uid: 'of another sign-in' } : undefined;
    found.result = undefined;
    return found;
  };
}

const personOf = ({ session, result }: Resumed): string | undefined =>
  result?.login?.accountId ?? session?.accountId;

/** Whether the answer belongs to a session or a login that another one has taken the place of. */
function isOvertaken({ session, result }: Resumed, present: Present): boolean {
  if (session?.uid !== undefined && session.uid !== present.uid) return true;
  const login = result?.login;
  return (
    login !== undefined &&
    present.accountId !== undefined &&
    present.accountId !== login.accountId &&
    (present.loginTs ?? 0) > (login.ts ?? 0)
  );
}
