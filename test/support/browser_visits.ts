/** The visitors of a test file: after each test they are gone, and no page of theirs has complained. */
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterEach, expect } from 'vitest';
import type { Demo } from './demo.ts';
import { newVisitor, type Visitor } from './visitor.ts';

/** `started`: what the file has started, once it has. */
export function createVisits(started: () => { browser: Browser; demo: Demo }) {
  const visitors: Visitor[] = [];
  // Whatever a test does, no page breaks its content security policy, throws, or asks a stranger.
  afterEach(async () => {
    for (const { complaints, context } of visitors.splice(0)) {
      expect(complaints).toEqual([]);
      await context.close();
    }
  });

  async function visit(username: string, options?: BrowserContextOptions): Promise<Visitor> {
    const { browser, demo } = started();
    const visitor = await newVisitor(browser, demo, username, options);
    visitors.push(visitor);
    return visitor;
  }
  return {
    visit,
    /** Somebody with an account who is signed in nowhere. */
    async visitWithAccount(username: string): Promise<Visitor> {
      const visitor = await visit(username);
      await visitor.createAccount();
      return visitor;
    },
  };
}
