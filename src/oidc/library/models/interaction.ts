/**
 * oidc-provider's Interaction: an authorization request that waits for a person. It is short-lived protocol state.
 *
 * - It is bound to the browser in which it began (session/browser_binding.ts). The first `save` sets a cookie,
 *   `destroy` removes it, and `find` finds nothing in another browser.
 * - When a request resumes after its pages, an answer counts only for the session in which it was given. If the
 *   browser now has another session, the library refuses, or after a login it signs that session out. Here `find`
 *   drops the answer, and the request continues for the person who is signed in now. Everything is checked again.
 * - The library stores the session's id in an interaction and never reads it. It is removed, because a database dump
 *   must not contain session ids.
 */

import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { BrowserBinding } from '../../session/browser_binding.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { ephemeralAdapter } from './ephemeral.ts';
import { modelOf } from './model.ts';

interface InteractionModel {
  uid: string;
  /** Set once it has been stored. */
  exp?: number;
  session?: { uid?: string; accountId?: string } | undefined;
  result?: { login?: { accountId: string; ts?: number } } | undefined;
  deviceCode?: string | undefined;
  save(ttlSeconds: number): Promise<unknown>;
  destroy(): Promise<void>;
}

/** The session of the browser that resumes a request. */
interface Present {
  uid: string;
  accountId?: string | undefined;
  loginTs?: number | undefined;
}

export function overrideInteraction(provider: Provider, binding: BrowserBinding): void {
  const Model = modelOf<{
    prototype: InteractionModel;
    find(id: string): Promise<InteractionModel | undefined>;
  }>(provider, 'Interaction');
  const find = Model.find.bind(Model);
  const { save, destroy } = Model.prototype;
  Model.prototype.save = function (ttlSeconds) {
    const scope = currentScope();
    if (this.exp === undefined && scope) binding.note(scope.ctx, this.uid);
    return save.call(this, ttlSeconds);
  };
  Model.prototype.destroy = async function () {
    await destroy.call(this);
    const scope = currentScope();
    if (scope) binding.forget(scope.ctx, this.uid);
  };
  Model.find = async (id) => {
    const found = await find(id);
    const scope = currentScope();
    if (!found || !scope) return found;
    if (!binding.holds(scope.ctx.get('cookie'), found.uid)) return undefined;
    if (scope.route === 'resume' || scope.route === 'device_resume')
      goOnWith(scope.ctx.oidc.session as unknown as Present, found);
    return found;
  };
}

function goOnWith(present: Present, found: InteractionModel): void {
  if (!isOvertaken(found, present)) return;
  const forAnother = found.deviceCode !== undefined && present.accountId !== personOf(found);
  // One person confirmed the device code, so it must not be connected to another person's account. With a session uid
  // that does not match, the library refuses the request.
  found.session = forAnother ? { uid: 'of another sign-in' } : undefined;
  found.result = undefined;
}

const personOf = ({ session, result }: InteractionModel): string | undefined =>
  result?.login?.accountId ?? session?.accountId;

/** Whether the answer belongs to a session or login that was since replaced in this browser. */
function isOvertaken({ session, result }: InteractionModel, present: Present): boolean {
  if (session?.uid !== undefined && session.uid !== present.uid) return true;
  const login = result?.login;
  return (
    login !== undefined &&
    present.accountId !== undefined &&
    present.accountId !== login.accountId &&
    (present.loginTs ?? 0) > (login.ts ?? 0)
  );
}

export function interactionAdapter(stores: Stores): Partial<Adapter> {
  const adapter = ephemeralAdapter('Interaction', stores);
  return {
    ...adapter,
    upsert: (id, payload, expiresIn) => adapter.upsert(id, withoutSessionId(payload), expiresIn ?? 0),
  };
}

function withoutSessionId(payload: AdapterPayload): AdapterPayload {
  const { session } = payload;
  return session ? { ...payload, session: { ...session, cookie: undefined } } : payload;
}
