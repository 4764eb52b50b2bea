/** The names of this server's cookies. */

/**
 * The names, on https with the prefixes of RFC 6265bis, section 4.1.3. `__Host-` requires the path `/`, so cookies
 * with another path or with a domain have `__Secure-`.
 */
export function cookieNames(secure: boolean) {
  const [host, path] = secure ? ['__Host-', '__Secure-'] : ['', ''];
  return {
    session: `${host}cypher_session`,
    device: `${host}cypher_device`,
    interaction: `${path}cypher_interaction`,
    resume: `${path}cypher_resume`,
    /** The prefix of these names. There is one such cookie for each sign-in. */
    begun: `${host}cypher_begun_`,
    trail: `${path}cypher_trail`,
    step: `${path}cypher_step`,
    signedOut: `${path}cypher_signed_out`,
    /** For a visitor who fills in a form without a session. */
    form: `${host}cypher_form`,
    proof: `${path}cypher_proof`,
    newCodes: `${path}cypher_new_codes`,
    invitation: `${path}cypher_invitation`,
    authenticatorReset: `${path}cypher_authenticator_reset`,
    /** The first is set for the parent domain of the sites behind forward-auth, the second for one of these sites. */
    forwardAuth: `${path}cypher_forward_auth`,
    forwardAuthStart: `${host}cypher_forward_auth_start`,
  };
}
