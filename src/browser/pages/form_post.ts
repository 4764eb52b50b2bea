/** Posts the answer on to the app (OAuth 2.0 Form Post Response Mode); without this script its button does. */
document.querySelector<HTMLFormElement>('form[data-form-post]')?.requestSubmit();

export {};
