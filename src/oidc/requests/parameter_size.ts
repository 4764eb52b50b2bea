/**
 * How much an authorization request may say, by GET, by POST, pushed, from a device or by an app that asks from elsewhere:
 * what it says is kept until it is answered. One bound for all, so that a request by one way fits the others.
 */
import { AppError } from '../../lib/errors.ts';

/** Of the 16 kB that Node reads of a request's head, what cookies leave. */
export const mostParameterCharacters = 15 * 1024;

/** Throws AppError 413 where names and values together are larger. A signed request may say as much again as its text. */
export function refuseTooLarge(parameters: Record<string, unknown>): void {
  let characters = 0;
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) characters += name.length + String(value).length;
  if (characters > mostParameterCharacters)
    throw new AppError('payload_too_large', 'The request is too large.');
}
