/** Everything that is built before the pages of people, and that these are wired with. */
import type { Authentication } from './authentication.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';

export interface Built {
  ground: Ground;
  foundations: Foundations;
  parts: PageParts;
  provider: WiredProvider;
  authentication: Authentication;
}
