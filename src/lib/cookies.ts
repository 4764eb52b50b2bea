/** Names of this server's cookies; on https with the prefix that binds them to this host (RFC 6265bis, section 4.1.3). */

/** `__Host-` needs the path `/`; cookies with a path of their own have `__Secure-`. */
export function cookieNames(secure: boolean) {
  const [host, path] = secure ? ['__Host-', '__Secure-'] : ['', ''];
  return {
    session: `${host}cypher_session`,
    device: `${host}cypher_device`,
    interaction: `${path}cypher_interaction`,
    resume: `${path}cypher_resume`,
    /** What the names of these begin with: one for each sign-in. */
    begun: `${host}cypher_begun_`,
    trail: `${path}cypher_trail`,
    step: `${path}cypher_step`,
    signedOut: `${path}cypher_signed_out`,
    /** Of whoever fills in a form without a session. */
    form: `${host}cypher_form`,
    proof: `${path}cypher_proof`,
    newCodes: `${path}cypher_new_codes`,
    invitation: `${path}cypher_invitation`,
    authenticatorReset: `${path}cypher_authenticator_reset`,
    /** Of the parent domain of the sites behind forward-auth, and of each of these sites. */
    forwardAuth: `${path}cypher_forward_auth`,
    forwardAuthStart: `${host}cypher_forward_auth_start`,
  };
}
