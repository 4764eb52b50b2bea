/** A browser at the provider's pages: cookies, redirects and the steps of a login, each at either process. */
import { createHash, randomBytes } from 'node:crypto';
import type { About, Answer, Sent } from './caller.ts';
import { type Actor, type App, eitherProvider, Interrupted, type Jar } from './world.ts';

/** Sends a request with the jar's cookies and keeps those of the answer. */
export async function visit(actor: Actor, jar: Jar, about: About, sent: Sent, via = eitherProvider(actor)) {
  const path = sent.path.split('?')[0] ?? '';
  const cookie = [...jar]
    .filter(([, each]) => path.startsWith(each.path))
    .map(([name, { value }]) => `${name}=${value}`)
    .join('; ');
  const answer = await actor.call(via, about, { ...sent, headers: { ...sent.headers, cookie } });
  keep(jar, answer);
  return answer;
}

export function keep(jar: Jar, answer: Answer): void {
  for (const line of answer.headers['set-cookie'] ?? []) {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const path = attributes.find((each) => each.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
    if (value === '') jar.delete(name);
    else jar.set(name, { value, path });
  }
}

/** One step of a login or sign-up, as the pages' scripts post it. */
export const step = (
  actor: Actor,
  jar: Jar,
  uid: string,
  action: string,
  body: object,
  about?: Partial<About>,
) => visit(actor, jar, { op: action, ...about }, { path: `/interaction/${uid}/${action}`, body });

/** The answer's JSON; interrupts the operation where the step did not succeed. */
export function must(answer: Answer): Record<string, unknown> {
  if (answer.status < 200 || answer.status >= 400) throw new Interrupted(`status ${answer.status}`);
  return answer.json;
}

export interface Asked {
  /** Where the authorization endpoint sent the browser. */
  location: URL;
  codeVerifier: string;
  answer: Answer;
}

/** Opens the authorization endpoint for this app, with PKCE. Undefined where it did not redirect. */
export async function authorize(
  actor: Actor,
  jar: Jar,
  app: App,
  params: Record<string, string>,
  about: Partial<About> = {},
  via?: number,
): Promise<Asked | { location: undefined; answer: Answer }> {
  const codeVerifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: app.client_id,
    redirect_uri: app.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    state: 'a-state',
    nonce: 'a-nonce',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...params,
  });
  const answer = await visit(actor, jar, { op: 'authorize', ...about }, { path: `/auth?${query}` }, via);
  const to = answer.status === 303 ? answer.headers.location : undefined;
  return to ? { location: new URL(to, actor.issuer), codeVerifier, answer } : { location: undefined, answer };
}

/** Follows redirects of the provider, allowing what is asked, until the browser is sent back with a code. */
export async function follow(actor: Actor, jar: Jar, from: URL): Promise<string> {
  let at = from;
  for (let hop = 0; hop < 10 && at.origin === actor.issuer; hop++) {
    const uid = interactionOf(at);
    const answer = uid
      ? await step(actor, jar, uid, 'consent', { decision: 'allow' })
      : await visit(actor, jar, { op: 'resume' }, { path: at.pathname + at.search });
    const json = must(answer);
    const to = uid ? json.location : answer.headers.location;
    if (typeof to !== 'string') throw new Interrupted(`${at.pathname} led nowhere`);
    at = new URL(to, actor.issuer);
  }
  const code = at.searchParams.get('code');
  if (!code) throw new Interrupted(`no code: ${at.searchParams.get('error')}`);
  return code;
}

/** The interaction's uid in a location, if it is one. */
export const interactionOf = (location: URL): string | undefined =>
  /^\/interaction\/([^/]+)$/.exec(location.pathname)?.[1];
