/**
 * Rich authorization requests (RFC 9396): which details a client may request, which of them a token contains, and how
 * the consent page shows them. The types and their fields are declared with an API (config/authorization_details.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type AuthorizationDetailsForIntrospection,
  errors,
  type KoaContextWithOIDC,
  type RichAuthorizationRequestsActiveConfiguration,
} from 'oidc-provider';
import type { DetailField, DetailType } from '../../config/authorization_details.ts';
import type { Resource } from '../../config/schema.ts';

export type Detail = { type: string } & Record<string, unknown>;

/** A detail as a page shows it. `rows`: labels and values, in the order in which the type declares them. */
export interface DescribedDetail {
  title: string;
  rows: [label: string, value: string][];
}

type Rar = RichAuthorizationRequestsActiveConfiguration & {
  authorizationDetailsForIntrospection: AuthorizationDetailsForIntrospection;
};

/** Bounds the JSON of all details of a request. They are copied into the token, whose size is limited. */
const mostBytes = 3000;
const longestText = 300;

interface Declared extends DetailType {
  audience: string;
}

const declaredTypes = (resources: readonly Resource[]): Record<string, Declared> =>
  Object.fromEntries(
    resources.flatMap(({ audience, authorization_details_types: types }) =>
      Object.entries(types).map(([name, type]) => [name, { ...type, audience }]),
    ),
  );

/** oidc-provider's configuration for the types that `resources` declare. */
export function richAuthorizationRequests(resources: readonly Resource[]): Rar {
  const types = declaredTypes(resources);
  /** Only the details of one API. Its tokens must not reveal what was allowed at another API. */
  const meantFor = (audience: unknown, details: readonly Detail[] | undefined) =>
    details?.filter(({ type }) => types[type]?.audience === audience);
  return {
    enabled: true,
    types: Object.fromEntries(
      Object.entries(types).map(([name, type]) => [
        name,
        { validate: (ctx: KoaContextWithOIDC, detail: object) => checkDetail(ctx, detail as Detail, type) },
      ]),
    ),
    // The person has seen and allowed these details: the library asks for consent to every request that has any.
    authorizationDetailsForGrantSource: async (ctx) => requestedDetails(ctx.oidc.params),
    async authorizationDetailsForAccessToken(ctx, token, source) {
      const requested = requestedDetails(ctx.oidc.params);
      // A client credentials token has no person to ask. The client's registration lists the types that it may use.
      if (source === undefined) return meantFor(token.aud, requested);
      const granted = source.rar as Detail[] | undefined;
      const more = requested?.some((detail) => !granted?.some((each) => isDeepStrictEqual(each, detail)));
      if (more) throw new errors.InvalidAuthorizationDetails('these details were not granted');
      return meantFor(token.aud, requested ?? granted);
    },
    authorizationDetailsForIntrospection: async (_ctx, { rar }) => rar,
  };
}

/** The requested details. The library must have checked that the parameter is well-formed JSON. */
export function requestedDetails(
  params: { authorization_details?: unknown } | undefined,
): Detail[] | undefined {
  const text = params?.authorization_details;
  return typeof text === 'string' ? (JSON.parse(text) as Detail[]) : undefined;
}

function checkDetail(ctx: KoaContextWithOIDC, detail: Detail, { audience, fields }: Declared): void {
  const { authorization_details: text, resource } = ctx.oidc.params ?? {};
  if (Buffer.byteLength(String(text)) > mostBytes) throw refused(detail, `is longer than ${mostBytes} bytes`);
  // At the token endpoint the request needs no `resource`: the API follows from the grant.
  if (ctx.oidc.route !== 'token' && ![resource].flat().includes(audience))
    throw refused(detail, `needs the resource ${audience}`);
  const { type: _, locations, ...rest } = detail;
  if (locations !== undefined && !isDeepStrictEqual(locations, [audience]))
    throw refused(detail, `is for ${audience} alone`);
  const fault = faultOf(rest, fields);
  if (fault) throw refused(detail, fault);
}

const refused = ({ type }: Detail, why: string) =>
  new errors.InvalidAuthorizationDetails(`authorization_details of type ${type}: it ${why}`);

function faultOf(value: Record<string, unknown>, fields: Record<string, DetailField>): string | undefined {
  const unknown = Object.keys(value).find((name) => !Object.hasOwn(fields, name));
  if (unknown !== undefined) return 'has a field that its type does not';
  for (const [name, field] of Object.entries(fields)) {
    const present = Object.hasOwn(value, name) ? value[name] : undefined;
    if (present === undefined) {
      if (field.required) return `must have ${name}`;
    } else if (field.fields) {
      if (typeof present !== 'object' || present === null || Array.isArray(present))
        return `must have an object in ${name}`;
      const fault = faultOf(present as Record<string, unknown>, field.fields);
      if (fault) return fault;
    } else if (!fits(present, field)) return `has a ${name} that its type does not allow`;
  }
  return undefined;
}

function fits(value: unknown, { type, values }: DetailField): boolean {
  switch (type) {
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'list':
      return Array.isArray(value) && value.every((each) => isText(each, values));
    default:
      return isText(value, values);
  }
}

/**
 * Whether a page can show the text as it is: it has no invisible characters and none that change the text direction.
 */
const isText = (value: unknown, values: string[] | undefined): boolean =>
  typeof value === 'string' &&
  value.length <= longestText &&
  !/[\p{C}\p{Zl}\p{Zp}]/u.test(value) &&
  (values === undefined || values.includes(value));

/** Makes a function that describes requested details in words. */
export function describeDetails(resources: readonly Resource[]): (details: Detail[]) => DescribedDetail[] {
  const types = declaredTypes(resources);
  return (details) =>
    details.flatMap((detail) => {
      const type = types[detail.type];
      return type ? [{ title: type.title, rows: rowsOf(detail, type.fields) }] : [];
    });
}

function rowsOf(value: Record<string, unknown>, fields: Record<string, DetailField>): [string, string][] {
  return Object.entries(fields).flatMap(([name, field]): [string, string][] => {
    const present = value[name];
    if (present === undefined) return [];
    if (field.fields) {
      const inner = rowsOf(present as Record<string, unknown>, field.fields);
      return inner.map(([label, text]) => [`${field.label}: ${label}`, text]);
    }
    return [[field.label, inWords(present)]];
  });
}

function inWords(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  return Array.isArray(value) ? value.join(', ') : String(value);
}
