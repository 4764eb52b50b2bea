/**
 * Limits the size of an authorization request, because it is stored until it is answered. GET, POST, pushed requests,
 * the device flow and CIBA all have the same limit, so a request that fits one of them fits the others.
 */
import { AppError } from '../../lib/errors.ts';

/** Node accepts request headers of 16 kB. This leaves 1 kB of them for cookies and other headers. */
export const mostParameterCharacters = 15 * 1024;

/**
 * Throws AppError 413 if names and values together have more characters. The parameters inside a signed request are
 * counted separately from its text.
 */
export function refuseTooLarge(parameters: Record<string, unknown>): void {
  let characters = 0;
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) characters += name.length + String(value).length;
  if (characters > mostParameterCharacters)
    throw new AppError('payload_too_large', 'The request is too large.');
}
