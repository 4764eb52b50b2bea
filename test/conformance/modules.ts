/** The modules of OpenID's test plans for providers, as of August 2026, in the suite's order; and the files that hold them. */

const basic = [
  'oidcc-server',
  'oidcc-response-type-missing',
  'oidcc-idtoken-signature',
  'oidcc-idtoken-unsigned',
  'oidcc-userinfo-get',
  'oidcc-userinfo-post-header',
  'oidcc-userinfo-post-body',
  'oidcc-ensure-request-without-nonce-succeeds-for-code-flow',
  'oidcc-scope-profile',
  'oidcc-scope-email',
  'oidcc-scope-address',
  'oidcc-scope-phone',
  'oidcc-scope-all',
  'oidcc-alternate-happy-flow',
  'oidcc-display-page',
  'oidcc-display-popup',
  'oidcc-prompt-login',
  'oidcc-prompt-none-not-logged-in',
  'oidcc-prompt-none-logged-in',
  'oidcc-max-age-1',
  'oidcc-max-age-10000',
  'oidcc-ensure-request-with-unknown-parameter-succeeds',
  'oidcc-id-token-hint',
  'oidcc-login-hint',
  'oidcc-ui-locales',
  'oidcc-claims-locales',
  'oidcc-ensure-request-with-acr-values-succeeds',
  'oidcc-codereuse',
  'oidcc-codereuse-30seconds',
  'oidcc-ensure-registered-redirect-uri',
  'oidcc-ensure-post-request-succeeds',
  'oidcc-server-client-secret-post',
  'oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported',
  'oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported',
  'oidcc-claims-essential',
  'oidcc-ensure-request-object-with-redirect-uri',
  'oidcc-refresh-token',
  'oidcc-ensure-request-with-valid-pkce-succeeds',
];

/** Of FAPI 2.0, both plans; without `fapi2-security-profile-final-`. */
const fapi = [
  'discovery-end-point-verification',
  'happy-flow',
  'user-rejects-authentication',
  'ensure-authorization-request-without-state-success',
  'ensure-authorization-request-without-nonce-success',
  'ensure-authorization-request-with-64-char-nonce-success',
  'ensure-other-scope-order-succeeds',
  'test-claims-parameter-identity-claims',
  'access-token-type-header-case-sensitivity',
  'check-dpop-proof-nbf-exp',
  'ensure-dpopproof-with-iat-10seconds-before-succeeds',
  'ensure-dpopproof-with-iat-10seconds-after-succeeds',
  'ensure-mismatched-dpop-jkt-fails',
  'ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt',
  'ensure-token-endpoint-fails-with-mismatched-dpop-jkt',
  'ensure-dpopproof-at-par-endpoint-binding-success',
  'ensure-dpop-auth-code-binding-success',
  'ensure-different-nonce-inside-and-outside-request-object',
  'ensure-different-state-inside-and-outside-request-object',
  'ensure-authorization-request-with-long-nonce',
  'ensure-authorization-request-with-long-state',
  'state-only-outside-request-object-not-used',
  'ensure-request-object-without-redirect-uri-fails',
  'ensure-registered-redirect-uri',
  'plain-fapi-tolerate-unregistered-redirect-uri',
  'ensure-unsigned-authorization-request-without-using-par-fails',
  'ensure-redirect-uri-in-authorization-request',
  'ensure-response-type-code-idtoken-fails',
  'ensure-response-type-token-fails',
  'ensure-client-id-in-token-endpoint',
  'ensure-holder-of-key-required',
  'ensure-authorization-code-is-bound-to-client',
  'attempt-reuse-authorization-code-after-one-second',
  'ensure-token-endpoint-fails-with-expired-auth-code',
  'ensure-signed-client-assertion-with-RS256-fails',
  'ensure-client-assertion-in-token-endpoint',
  'ensure-client-assertion-with-exp-is-5-minutes-in-past-fails',
  'ensure-client-assertion-with-wrong-aud-fails',
  'ensure-client-assertion-with-no-sub-fails',
  'dpop-negative-tests',
  'refresh-token',
  'par-ensure-reused-request-uri-prior-to-auth-completion-succeeds',
  'par-attempt-reuse-request_uri',
  'par-attempt-to-use-expired-request_uri',
  'par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted',
  'par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails',
  'par-attempt-to-use-request_uri-for-different-client',
  'par-authorization-request-containing-request_uri-form-param',
  'par-attempt-invalid-http-method',
  'par-ensure-pkce-required',
  'ensure-pkce-code-verifier-required',
  'incorrect-pkce-code-verifier-rejected',
  'par-plain-pkce-rejected',
  'par-without-duplicate-parameters',
  'par-test-array-as-audience-fails',
  'par-test-par-endpoint-url-as-audience-fails',
  'par-test-token-endpoint-url-as-audience-fails',
].map((name) => `fapi2-security-profile-final-${name}`);

/** Of FAPI 2.0 message signing alone. */
const fapiSigned = [
  'ensure-request-object-with-multiple-aud-succeeds',
  'ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted',
  'ensure-request-object-without-exp-fails',
  'ensure-request-object-without-nbf-fails',
  'ensure-expired-request-object-fails',
  'ensure-request-object-with-bad-aud-fails',
  'ensure-request-object-with-exp-over-60-fails',
  'ensure-request-object-with-nbf-over-60-fails',
  'ensure-signed-request-object-with-RS256-fails',
  'ensure-request-object-signature-algorithm-is-not-none',
  'ensure-request-object-with-invalid-signature-fails',
  'ensure-matching-key-in-authorization-request',
  'ensure-unsigned-request-at-par-endpoint-fails',
  'par-authorization-request-containing-request_uri',
].map((name) => `fapi2-security-profile-final-${name}`);

/** Modules of these plans that do not apply to a provider which is not held to the rules of one country. */
const elsewhere = {
  'fapi2-security-profile-final-australia-connectid-ensure-request-object-with-exp-over-10-fails':
    'is for ConnectID in Australia',
  'fapi2-security-profile-final-australia-connectid-ensure-request-object-with-nbf-over-15-fails':
    'is for ConnectID in Australia',
  'fapi2-security-profile-final-australia-connectid-ensure-invalid-purpose-fails':
    'is for ConnectID in Australia',
  'fapi2-security-profile-final-brazil-ensure-bad-payment-signature-fails': 'is for Open Banking in Brazil',
  'fapi2-security-profile-final-australia-connectid-test-claims-parameter-idtoken-identity-claims':
    'is for ConnectID in Australia',
  'fapi2-security-profile-final-ensure-server-handles-non-matching-intent-id':
    'is for Open Banking in the United Kingdom',
  'fapi2-security-profile-final-test-essential-acr-sca-claim': 'is for Open Banking in the United Kingdom',
};

export interface Plan {
  /** Test files of this folder, without `.test.ts`. */
  files: string[];
  modules: string[];
  /** Further modules of the plan, and why they do not apply. */
  without?: Record<string, string>;
}

export const plans: Record<string, Plan> = {
  'oidcc-basic-certification-test-plan': { files: ['basic_requests', 'basic_tokens'], modules: basic },
  'oidcc-formpost-basic-certification-test-plan': {
    files: ['basic_requests', 'basic_tokens'],
    modules: basic,
  },
  'oidcc-config-certification-test-plan': {
    files: ['config'],
    modules: ['oidcc-discovery-endpoint-verification'],
  },
  'oidcc-rp-initiated-logout-certification-test-plan': {
    files: ['rp_initiated_logout'],
    modules: [
      'oidcc-rp-initiated-logout-discovery-endpoint-verification',
      'oidcc-rp-initiated-logout',
      'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri',
      'oidcc-rp-initiated-logout-modified-id-token-hint',
      'oidcc-rp-initiated-logout-no-id-token-hint',
      'oidcc-rp-initiated-logout-no-params',
      'oidcc-rp-initiated-logout-no-post-logout-redirect-uri',
      'oidcc-rp-initiated-logout-no-state',
      'oidcc-rp-initiated-logout-only-state',
      'oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri',
      'oidcc-rp-initiated-logout-bad-id-token-hint',
    ],
  },
  'oidcc-backchannel-rp-initiated-logout-certification-test-plan': {
    files: ['backchannel_logout'],
    modules: [
      'oidcc-backchannel-logout-discovery-endpoint-verification',
      'oidcc-backchannel-rp-initiated-logout',
    ],
  },
  'fapi2-security-profile-final-test-plan': {
    files: ['fapi_requests', 'fapi_tokens'],
    modules: fapi,
    without: elsewhere,
  },
  'fapi2-message-signing-final-test-plan': {
    files: ['fapi_requests', 'fapi_tokens', 'fapi_request_objects'],
    modules: [...fapi, ...fapiSigned],
    without: elsewhere,
  },
};
