/**
 * The `claims` of a client's entry: additional claims, or other names for claims, in ID tokens and userinfo. Pure.
 */
import * as z from 'zod';

/** The claims about an account that can be mapped to another name. */
const sources = ['sub', 'preferred_username', 'email', 'email_verified'] as const;

/** A claim with one value for everybody, or with the value of another claim. */
const mapped = z.union(
  [
    z.strictObject({
      value: z.union([z.string().max(1000), z.number(), z.boolean(), z.array(z.string().max(200)).max(50)]),
    }),
    z.strictObject({ from: z.enum(sources) }),
  ],
  { error: `must be {"value": …} or {"from": …}, and from one of ${sources.join(', ')}` },
);

/**
 * Claims of the protocol about a sign-in or a token. They cannot be mapped (RFC 7519, OpenID Connect Core, RFC 9068).
 */
const reserved = new Set([
  ...['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'typ', 'sid', 'cnf', 'act', 'may_act', 'events'],
  ...['acr', 'amr', 'auth_time', 'azp', 'nonce', 'at_hash', 'c_hash', 's_hash', 'sub_jwk'],
  ...['client_id', 'scope', 'active', 'authorization_details', '_claim_names', '_claim_sources', '__proto__'],
]);

export const clientClaimsSchema = z
  .record(z.string().min(1).max(200), mapped)
  .superRefine((claims, context) => {
    for (const name of Object.keys(claims).filter((each) => reserved.has(each)))
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'is the protocol’s own and cannot be mapped',
      });
  });

export type ClientClaims = z.infer<typeof clientClaimsSchema>;
