/** How often devices and apps that poll for an answer may ask (RFC 8628, section 3.5; CIBA Core, section 11). */

/** What they are told. */
export const pollSeconds = 5;

/** A little less than what is told: a poll that comes early by the network's whim is none too fast. */
export const leastPollSeconds = pollSeconds - 1;
