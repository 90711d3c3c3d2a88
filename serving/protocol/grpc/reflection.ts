import {
  type MethodDefinition,
  type Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
// It adds toDescriptor to protobufjs.
import descriptor from 'protobufjs/ext/descriptor.js';
import { codecOf, REFLECTION_VERSIONS, root } from './open_inference_proto.ts';

/** The files of descriptors that clients read, by their names and by the symbols in them. */
interface Descriptors {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly fileOf: ReadonlyMap<string, string>;
  readonly services: readonly string[];
}

/** Descriptors as protobufjs makes them (descriptor.proto). */
interface DescribedType {
  name: string;
  readonly field?: readonly { readonly name: string; typeName?: string }[];
  readonly nestedType?: readonly DescribedType[];
  readonly enumType?: readonly { readonly name: string }[];
  readonly options?: { readonly mapEntry?: boolean };
}

interface DescribedFile {
  readonly name: string;
  readonly package: string;
  readonly messageType: readonly DescribedType[];
  readonly enumType: readonly { readonly name: string }[];
  readonly service: readonly { readonly name: string; readonly method: readonly { readonly name: string }[] }[];
}

function filesOf(described: protobuf.Root): readonly DescribedFile[] {
  described.resolveAll();
  const { file: files } = described.toDescriptor('proto3') as unknown as { readonly file: readonly DescribedFile[] };
  for (const { messageType: types } of files) for (const type of types) nameMapEntries(type);
  return files;
}

/** Entries of maps have names that follow from their fields': `parameters`, `ParametersEntry` (descriptor.proto, map_entry). protobufjs has others. */
function nameMapEntries({ field: fields = [], nestedType: types = [] }: DescribedType): void {
  for (const type of types) {
    if (type.options?.mapEntry !== true) continue;
    const field = fields.find(({ typeName }) => typeName === type.name);
    if (field === undefined) continue;
    const name = field.name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
    type.name = `${name}Entry`;
    field.typeName = type.name;
  }
}

function describe(): Descriptors {
  const files = new Map<string, Uint8Array>();
  const fileOf = new Map<string, string>();
  const services: string[] = [];
  for (const file of filesOf(root)) {
    const { name, package: scope } = file;
    const add = (symbol: string): void => void fileOf.set(symbol, name);
    const addType = (within: string, type: DescribedType): void => {
      const own = `${within}.${type.name}`;
      add(own);
      for (const nested of type.nestedType ?? []) addType(own, nested);
      for (const each of type.enumType ?? []) add(`${own}.${each.name}`);
    };
    for (const type of file.messageType) addType(scope, type);
    for (const each of file.enumType) add(`${scope}.${each.name}`);
    for (const service of file.service) {
      const own = `${scope}.${service.name}`;
      services.push(own);
      for (const symbol of [own, ...service.method.map((method) => `${own}.${method.name}`)]) add(symbol);
    }
    files.set(name, descriptor.FileDescriptorProto.encode(file as never).finish());
  }
  return { files, fileOf, services: services.sort() };
}

interface ReflectionRequest {
  readonly host: string;
  readonly message_request?: string;
  readonly file_by_filename?: string;
  readonly file_containing_symbol?: string;
  readonly all_extension_numbers_of_type?: string;
}

function answerTo(request: ReflectionRequest, { files, fileOf, services }: Descriptors): object {
  const fileNamed = (name: string | undefined, what: string): object => {
    const file = name === undefined ? undefined : files.get(name);
    if (file !== undefined) return { file_descriptor_response: { file_descriptor_proto: [file] } };
    return { error_response: { error_code: status.NOT_FOUND, error_message: `there is no ${what}` } };
  };
  switch (request.message_request) {
    case 'list_services':
      return { list_services_response: { service: services.map((name) => ({ name })) } };
    case 'file_by_filename':
      return fileNamed(request.file_by_filename, `file ${request.file_by_filename}`);
    case 'file_containing_symbol': {
      const { file_containing_symbol: symbol = '' } = request;
      return fileNamed(fileOf.get(symbol), `symbol ${symbol}`);
    }
    case 'all_extension_numbers_of_type': {
      const { all_extension_numbers_of_type: type = '' } = request;
      if (!fileOf.has(type)) return fileNamed(undefined, `type ${type}`);
      return { all_extension_numbers_response: { base_type_name: type, extension_number: [] } };
    }
    default:
      return fileNamed(undefined, 'such extension');
  }
}

/** Adds gRPC's server reflection to a server: clients such as grpcurl and Postman learn services and messages from it, without files of their own. */
export function addReflection(server: Server): void {
  const descriptors = describe();
  for (const version of REFLECTION_VERSIONS) {
    const scope = `grpc.reflection.${version}`;
    const [asked, answered] = [
      codecOf(`${scope}.ServerReflectionRequest`),
      codecOf(`${scope}.ServerReflectionResponse`),
    ];
    const method: MethodDefinition<object, object> = {
      path: `/${scope}.ServerReflection/ServerReflectionInfo`,
      ...{ requestStream: true, responseStream: true },
      ...{ requestSerialize: asked.serialize, requestDeserialize: asked.deserialize },
      ...{ responseSerialize: answered.serialize, responseDeserialize: answered.deserialize },
    };
    const handler = (stream: ServerDuplexStream<object, object>): void => {
      stream.on('data', (request: ReflectionRequest) => {
        stream.write({ valid_host: request.host, original_request: request, ...answerTo(request, descriptors) });
      });
      stream.on('end', () => stream.end());
    };
    server.addService(
      { ServerReflectionInfo: method } as ServiceDefinition,
      { ServerReflectionInfo: handler } as never,
    );
  }
}
