/** Posts the answer to the app (OAuth 2.0 Form Post Response Mode). Without script, the page's button does it. */
document.querySelector<HTMLFormElement>('form[data-form-post]')?.requestSubmit();

export {};
