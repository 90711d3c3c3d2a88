import type * as runnerApi from '#pipelines/proto/beam_runner_api';
import * as schemaTypes from '#pipelines/proto/schema';

/** Coders that give equal values equal bytes, where their components do (Beam's Coder.verifyDeterministic). */
const DETERMINISTIC = new Set([
  'headwater:coder:key:v1',
  'beam:coder:bytes:v1',
  'beam:coder:string_utf8:v1',
  'beam:coder:bool:v1',
  'beam:coder:varint:v1',
  'beam:coder:kv:v1',
  'beam:coder:iterable:v1',
  'beam:coder:length_prefix:v1',
  'beam:coder:nullable:v1',
  'beam:coder:sharded_key:v1',
  'beam:coder:global_window:v1',
  'beam:coder:interval_window:v1',
]);

export function isDeterministic({ coders }: Pick<runnerApi.Components, 'coders'>, coderId: string): boolean {
  const coder = coders[coderId];
  if (coder?.spec === undefined) return false;
  const { urn, payload } = coder.spec;
  if (urn === 'beam:coder:row:v1') {
    return schemaTypes.Schema.fromBinary(payload).fields.every(({ type }) => isDeterministicField(type));
  }
  return DETERMINISTIC.has(urn) && coder.componentCoderIds.every((id) => isDeterministic({ coders }, id));
}

/** Maps have no order, and floating-point numbers two zeros and many NaNs. */
function isDeterministicField(type: schemaTypes.FieldType | undefined): boolean {
  const { AtomicType } = schemaTypes;
  const info = type?.typeInfo;
  switch (info?.oneofKind) {
    case 'atomicType':
      return info.atomicType !== AtomicType.FLOAT && info.atomicType !== AtomicType.DOUBLE;
    case 'arrayType':
      return isDeterministicField(info.arrayType.elementType);
    case 'iterableType':
      return isDeterministicField(info.iterableType.elementType);
    case 'rowType':
      return (info.rowType.schema?.fields ?? []).every((field) => isDeterministicField(field.type));
    case 'logicalType':
      return isDeterministicField(info.logicalType.representation);
    default:
      return false;
  }
}
