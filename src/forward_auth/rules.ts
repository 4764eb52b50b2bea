/** Who may enter a site: its rule against who somebody is. Pure. */
import type { Site } from './sites.ts';

export interface Visitor {
  usernameKey: string;
  /** What is known of them, and of their sign-in: `acr`, `amr`. */
  claims: Record<string, unknown>;
  /** When they signed in, unix seconds. */
  loginTs: number;
}

/** `step_up`: they may, after a newer sign-in. */
export function decide(
  site: Site,
  { usernameKey, claims, loginTs }: Visitor,
  nowSeconds: number,
): 'allowed' | 'denied' | 'step_up' {
  if (site.usernameKeys && !site.usernameKeys.includes(usernameKey)) return 'denied';
  const has = ([name, wanted]: [string, unknown]) => [claims[name]].flat().includes(wanted);
  if (!Object.entries(site.claims).every(has)) return 'denied';
  if (site.max_age_seconds !== undefined && nowSeconds - loginTs > site.max_age_seconds) return 'step_up';
  return 'allowed';
}
