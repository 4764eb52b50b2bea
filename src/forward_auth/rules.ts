/** Decides who may enter a site: compares the site's rule with the visitor. Pure. */
import type { Site } from './sites.ts';

export interface Visitor {
  usernameKey: string;
  /** The account's claims, and those of the sign-in: `acr`, `amr`. */
  claims: Record<string, unknown>;
  /** When they signed in, unix seconds. */
  loginTs: number;
}

/** `step_up`: the visitor may enter after a newer sign-in. */
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
