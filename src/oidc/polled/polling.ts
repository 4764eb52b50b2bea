/** How often a client may poll for an answer (RFC 8628, section 3.5; CIBA Core, section 11). */

/** The interval that clients are given. */
export const pollSeconds = 5;

/**
 * The interval that is enforced. It is a little shorter, because network delays vary and may bring polls closer
 * together.
 */
export const leastPollSeconds = pollSeconds - 1;
