/** The demo's pages: one layout, one stylesheet, and a template tag for HTML that escapes its values. */

export interface Html {
  html: string;
}

const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Markup with values. Strings are escaped, lists are joined, Html is inserted unchanged, and undefined is left out.
 */
export function html(parts: TemplateStringsArray, ...values: (string | Html | Html[] | undefined)[]): Html {
  const written = values.map((value) => {
    if (value === undefined) return '';
    if (typeof value === 'string') return value.replace(/[&<>"']/g, (sign) => escapes[sign] ?? '');
    return Array.isArray(value) ? value.map((each) => each.html).join('') : value.html;
  });
  return { html: String.raw({ raw: parts }, ...written) };
}

/** A form with one button. */
export const button = (label: string, action: string, method: 'get' | 'post' = 'post'): Html =>
  html`<form method="${method}" action="${action}"><button>${label}</button></form>`;

/** A table of names and values. Values that are not strings are shown as JSON. */
export const table = (rows: Record<string, unknown>): Html => {
  const cells = Object.entries(rows).map(([name, value]) => {
    const shown = typeof value === 'string' ? value : JSON.stringify(value);
    return html`<tr><th scope="row">${name}</th><td>${shown}</td></tr>`;
  });
  return html`<table>${cells}</table>`;
};

/** The whole page, as text. */
export const page = (title: string, body: Html): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body><main>
<h1>${title}</h1>
${body}
</main></body>
</html>`.html;

export const stylesheet = `
:root { color-scheme: light dark; --ink: #1d2433; --soft: #566074; --paper: #f4f6fb; --line: #d5dbe8; --accent: #3450a1; --on-accent: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf5; --soft: #a3adc2; --paper: #12161f; --line: #2b3345; --accent: #9db4ff; --on-accent: #10162a }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 44rem; margin: 0 auto; padding: 3rem 1.25rem }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2 }
h2 { margin: 2rem 0 0.5rem; font-size: 1.0625rem }
p { color: var(--soft) }
.buttons { display: flex; flex-wrap: wrap; gap: 0.75rem; margin-top: 1.5rem }
button { min-height: 2.75rem; padding: 0.5rem 1.25rem; border: 0; border-radius: 8px; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.problem { padding-left: 1rem; border-left: 4px solid var(--accent); color: var(--ink) }
table { width: 100%; border-collapse: collapse }
th, td { padding: 0.5rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere }
th { width: 1%; padding-right: 1.5rem; color: var(--soft); font-weight: 500; white-space: nowrap }
`;
