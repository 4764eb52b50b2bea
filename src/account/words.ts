/** Devices and times in words, for the account page. Pure but for the user agent's parser. */
import Bowser from 'bowser';

/** "Firefox on Linux". What the user agent does not say is left out. */
export function deviceInWords(userAgent: string | null): string {
  if (!userAgent) return 'Unknown device';
  const { browser, os, platform } = Bowser.parse(userAgent);
  const system = [
    os.name,
    platform.type === 'mobile' || platform.type === 'tablet' ? platform.model : undefined,
  ];
  const where = system.filter(Boolean).join(', ');
  if (!browser.name) return where || 'Unknown device';
  return where ? `${browser.name} on ${where}` : browser.name;
}

/** "just now", "5 minutes ago", "2 days ago". Both in milliseconds since the epoch. */
export function ago(then: number, now: number): string {
  const minutes = Math.floor((now - then) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return count(minutes, 'minute');
  if (minutes < 1440) return count(Math.floor(minutes / 60), 'hour');
  return count(Math.floor(minutes / 1440), 'day');
}

const count = (number: number, unit: string): string => `${number} ${unit}${number === 1 ? '' : 's'} ago`;
