/**
 * What is measured: a server with a few apps registered, and how to get a signed-in browser at it. The works see nothing
 * else of Cypher and its peers; the three files beside this one start them.
 */
import type { Http, Jar } from '../http.ts';
import type { Usage } from '../usage.ts';

export interface App {
  id: string;
  secret: string;
}

export interface Subject {
  name: string;
  origin: string;
  http: Http;
  paths: { authorization: string; token: string; introspection: string };
  /** Signs people in and refreshes, confidential, with PKCE. */
  app: App & { redirectUri: string; scope: string };
  /** Introspects the tokens of `app`. */
  api: App;
  /** Client credentials. */
  machine: App & { scope?: string };
  /** A browser that is signed in: authorization requests of `app` come back with a code at once. */
  signedIn(): Promise<Jar>;
  readyMs: number;
  pid: number;
  usage(): Usage;
  stop(): Promise<void>;
}
