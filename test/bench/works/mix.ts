/**
 * The mixed load: of 1 login there are 8 refreshes, 20 introspections, 0.1 sign-outs and 0.1 wrong passwords. An operation
 * is drawn at random by these weights; what it took is heard by the kind of request.
 */
import type { Jar } from '../http.ts';
import { introspect, refresh, type Tokens, tokensOf } from '../oauth.ts';
import { failToSignIn, type Heard, signIn, signOut } from '../sign_in.ts';
import type { Cypher } from '../subjects/cypher.ts';

const weights = { login: 1, refresh: 8, introspection: 20, signOut: 0.1, wrongPassword: 0.1 };
type Kind = keyof typeof weights;
const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);

function draw(): Kind {
  let left = Math.random() * total;
  for (const [kind, weight] of Object.entries(weights)) {
    left -= weight;
    if (left < 0) return kind as Kind;
  }
  return 'introspection';
}

/** One operation of the mix at a Cypher with `families` families of tokens. */
export async function createMix(cypher: Cypher, families: number) {
  // A family refreshes one at a time; whoever draws a refresh takes one that rests.
  const resting: Tokens[] = await tokensOf(cypher, families);
  const accessTokens = resting.map(({ access_token }) => access_token);
  const signedIn: Jar[] = [];

  async function refreshOne(heard: Heard): Promise<void> {
    const tokens = resting.shift();
    if (!tokens) throw new Error('no family rests');
    const begun = performance.now();
    // What was refused is as good as before.
    const next = await refresh(cypher, tokens.refresh_token).catch((error: Error) => {
      resting.push(tokens);
      throw error;
    });
    heard('token', performance.now() - begun);
    resting.push(next);
  }

  async function introspectOne(heard: Heard): Promise<void> {
    const token = accessTokens[Math.floor(Math.random() * accessTokens.length)] ?? '';
    const begun = performance.now();
    await introspect(cypher, token);
    heard('token', performance.now() - begun);
  }

  async function logIn(heard: Heard): Promise<void> {
    const { jar } = await signIn(cypher, heard);
    if (signedIn.length < 100) signedIn.push(jar);
  }

  return (heard: Heard): Promise<void> => {
    switch (draw()) {
      case 'login':
        return logIn(heard);
      case 'refresh':
        return refreshOne(heard);
      case 'introspection':
        return introspectOne(heard);
      case 'wrongPassword':
        return failToSignIn(cypher, heard);
      case 'signOut': {
        const jar = signedIn.pop();
        return jar ? signOut(cypher, jar) : Promise.resolve();
      }
    }
  };
}
