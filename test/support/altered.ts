/** Alters a text by one letter. The result always differs, whatever the letter was. */
export function altered(text: string, at: number): string {
  const place = at < 0 ? text.length + at : at;
  return `${text.slice(0, place)}${text[place] === 'A' ? 'B' : 'A'}${text.slice(place + 1)}`;
}
