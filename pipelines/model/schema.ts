import { AtomicType, Field, FieldType, Schema } from '#pipelines/proto/schema';
import { RowCoder } from './coders/row_coder.ts';

const ATOMIC = {
  byte: AtomicType.BYTE,
  int16: AtomicType.INT16,
  int32: AtomicType.INT32,
  int64: AtomicType.INT64,
  float: AtomicType.FLOAT,
  double: AtomicType.DOUBLE,
  string: AtomicType.STRING,
  boolean: AtomicType.BOOLEAN,
  bytes: AtomicType.BYTES,
} as const;

/** Type of a row's field: an atomic type, an array of one, or another row. */
export type FieldTypeSpec = keyof typeof ATOMIC | { readonly array: FieldTypeSpec } | { readonly row: RowSpec };
/** Fields of a row, in order; a name that ends in `?` may be null. */
export type RowSpec = Readonly<Record<string, FieldTypeSpec>>;

/**
 * Returns the coder of rows with a schema, which other SDKs read too: `parDo(fn, { name, coder: rowCoder({ user: 'string', amount: 'double',
 * 'note?': 'string' }) })`.
 */
export const rowCoder = (spec: RowSpec): RowCoder => new RowCoder(schemaOf(spec));

function schemaOf(spec: RowSpec): Schema {
  return Schema.create({
    fields: Object.entries(spec).map(([name, type], index) => {
      const nullable = name.endsWith('?');
      return Field.create({
        name: nullable ? name.slice(0, -1) : name,
        type: fieldTypeOf(type, nullable),
        encodingPosition: index,
      });
    }),
  });
}

function fieldTypeOf(type: FieldTypeSpec, nullable = false): FieldType {
  if (typeof type === 'string') {
    return FieldType.create({ nullable, typeInfo: { oneofKind: 'atomicType', atomicType: ATOMIC[type] } });
  }
  if ('array' in type) {
    const elementType = fieldTypeOf(type.array);
    return FieldType.create({ nullable, typeInfo: { oneofKind: 'arrayType', arrayType: { elementType } } });
  }
  return FieldType.create({ nullable, typeInfo: { oneofKind: 'rowType', rowType: { schema: schemaOf(type.row) } } });
}
