/**
 * FORWARD_AUTH_FILE: the sites behind a proxy that do not know OpenID Connect, and who may enter each of them. Pure.
 */
import * as z from 'zod';

const hostname = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const domain = z
  .string()
  .regex(hostname, 'must be a domain in lower case, such as example.com, that all sites are below');
const hostAndPort = /^([^:]+)(?::([1-9]\d{0,4}))?$/;

const siteSchema = z.strictObject({
  /** As in the address bar, with the port if it is not the default one. */
  host: z.string().refine((value) => {
    const [, host = '', port = '1'] = hostAndPort.exec(value) ?? [];
    return hostname.test(host) && Number(port) <= 65535;
  }, 'must be a host in lower case, such as wiki.example.com or wiki.example.com:8443'),
  /** The usernames that may enter. If it is left out, everybody with an account may. */
  accounts: z
    .array(z.string().regex(/^[\p{L}\p{M}\p{N}._@+-]{1,64}$/u, 'must be a username'))
    .min(1, 'must name somebody, or be left out')
    .optional(),
  /** The claims that a person needs. Each must have this value, or contain it if it is a list. */
  claims: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .superRefine((claims, context) => {
      if (!Object.hasOwn(claims, 'email')) return;
      // E-mail addresses are not verified, so a person can sign up with another person's address.
      const message =
        'cannot be a rule: e-mail addresses are not verified here, anybody can enter any. Name the usernames in "accounts"';
      context.addIssue({ code: 'custom', path: ['email'], message });
    })
    .default({}),
  /** What the site learns about a person, besides the id of the account. */
  scopes: z
    .array(z.enum(['profile', 'email'], { error: 'must be profile or email' }))
    .default(['profile', 'email']),
  /** The greatest age of the sign-in. */
  max_age_seconds: z.int('must be seconds').min(60, 'must be 60 or more').optional(),
});

export const forwardAuthSchema = z
  .strictObject({
    cookie_domain: domain,
    sites: z.array(siteSchema, 'must be an array').min(1, 'must name a site'),
  })
  .superRefine(({ cookie_domain, sites }, context) => {
    const seen = new Set<string>();
    for (const [index, { host }] of sites.entries()) {
      const fault = (message: string) =>
        context.addIssue({ code: 'custom', path: ['sites', index, 'host'], message });
      const [, name = ''] = hostAndPort.exec(host) ?? [];
      if (name !== cookie_domain && !name.endsWith(`.${cookie_domain}`))
        fault(`must be below ${cookie_domain}`);
      if (seen.has(host)) fault('is given twice');
      seen.add(host);
    }
  });

export type ForwardAuth = z.infer<typeof forwardAuthSchema>;
export type ForwardAuthSite = ForwardAuth['sites'][number];

/** The prefix of the client ids of the sites. */
export const forwardAuthClientPrefix = 'cypher-forward-auth:';
