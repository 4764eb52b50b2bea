/**
 * The types of authorization details (RFC 9396) that an API accepts, as RESOURCES_FILE declares them: the fields of a
 * detail, and their labels on the consent page. Pure.
 */
import * as z from 'zod';

export interface DetailField {
  /** Shown to the person on the consent page. */
  label: string;
  /** `list` is an array of texts. */
  type: 'text' | 'number' | 'boolean' | 'list' | 'group';
  required: boolean;
  /** The allowed values of a text, or of the entries of a list. */
  values?: string[] | undefined;
  /** The fields of a group. */
  fields?: Record<string, DetailField> | undefined;
}

export interface DetailType {
  /** What the app may do, in words that follow "the app can:". */
  title: string;
  fields: Record<string, DetailField>;
}

const words = z.string().min(1, 'must be given').max(100);

const fieldSchema: z.ZodType<DetailField> = z
  .strictObject({
    label: words,
    type: z
      .enum(['text', 'number', 'boolean', 'list', 'group'], {
        error: 'must be text, number, boolean, list or group',
      })
      .default('text'),
    required: z.boolean('must be true or false').default(false),
    values: z.array(z.string()).min(1).optional(),
    get fields() {
      return z.record(z.string(), fieldSchema).optional();
    },
  })
  .refine(
    ({ type, fields }) => (type === 'group') === (fields !== undefined),
    'must have fields if it is a group',
  );

const typeName = z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/, 'must be a name without spaces');

/** The types by name. The fields `type` and `locations` come from RFC 9396 and are not declared. */
export const detailTypesSchema = z
  .record(typeName, z.strictObject({ title: words, fields: z.record(z.string(), fieldSchema) }))
  .default({});
