import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

// Schemas of Terraform providers out of the compiled classes of npm's @cdktn/provider-aws and @cdktf/provider-*, which are generated from the
// providers' own schemas: names, types, nesting, and what is required, optional or computed.

/** A type as Terraform's JSON has it: `string`, `["list", "string"]`, `["object", { … }]`. */
export type SchemaType = string | readonly [string, SchemaType] | readonly ['object', Record<string, SchemaType>];
interface Attribute extends Flags {
  readonly type: SchemaType;
}
interface Flags {
  readonly computed?: boolean;
  readonly optional?: boolean;
  readonly required?: boolean;
}
interface NestedBlock {
  readonly nesting: 'list' | 'set' | 'single';
  readonly max: number;
  readonly min: number;
  readonly block: Block;
}
export interface Block {
  readonly attributes: Record<string, Attribute>;
  readonly blocks: Record<string, NestedBlock>;
}

const STORAGE: Readonly<Record<string, SchemaType>> = {
  string: 'string',
  number: 'number',
  boolean: 'bool',
  stringList: ['list', 'string'],
  numberList: ['list', 'number'],
  stringMap: ['map', 'string'],
  numberMap: ['map', 'number'],
  booleanMap: ['map', 'bool'],
  stringListMap: ['map', ['list', 'string']],
};

const GETTERS: Readonly<Record<string, SchemaType>> = {
  getStringAttribute: 'string',
  getNumberAttribute: 'number',
  getBooleanAttribute: 'bool',
  getListAttribute: ['list', 'string'],
  getNumberListAttribute: ['list', 'number'],
  getStringMapAttribute: ['map', 'string'],
  getNumberMapAttribute: ['map', 'number'],
};

interface Getter extends Flags {
  readonly name: string;
  /** Until the next attribute. */
  readonly code: string;
}

/** Reads one generated file. */
class GeneratedClasses {
  readonly source: string;
  readonly #getters = new Map<string, Getter[]>();
  readonly #last: string;

  constructor(source: string) {
    this.source = source;
    const starts = [...source.matchAll(/^class (\w+) extends/gm)];
    starts.forEach(({ 1: name = '', index }, position) => {
      const body = source.slice(index, starts[position + 1]?.index);
      const marks = [...body.matchAll(/\/\/ ([a-z0-9_]+) - computed: (\w+), optional: (\w+), required: (\w+)/g)];
      this.#getters.set(
        name,
        marks.map((mark, at) => ({
          name: mark[1] as string,
          computed: mark[2] === 'true',
          optional: mark[3] === 'true',
          required: mark[4] === 'true',
          code: body.slice(mark.index, marks[at + 1]?.index),
        })),
      );
    });
    this.#last = starts.at(-1)?.[1] as string;
  }

  resource(): Block {
    return this.#block(this.source.slice(this.source.lastIndexOf('synthesizeHclAttributes()')), this.#last);
  }

  #block(code: string, className: string): Block {
    const attributes: Record<string, Attribute> = {};
    const blocks: Record<string, NestedBlock> = {};
    const getters = new Map((this.#getters.get(className) ?? []).map((getter) => [getter.name, getter]));
    const entries =
      /^\s+([a-z0-9_]+): \{\s+value: (.+?),\s+isBlock: (true|false),\s+type: "(\w+)",\s+storageClassType: "(\w+)",/gms;
    for (const [, name = '', value = '', isBlock, nesting, storage = ''] of code.matchAll(entries)) {
      const { computed, optional, required }: Flags = getters.get(name) ?? { optional: true };
      if (isBlock === 'false') {
        const type = STORAGE[storage] ?? 'string';
        attributes[name] = {
          type: nesting === 'set' && Array.isArray(type) ? ['set', type[1] as SchemaType] : type,
          ...{ computed: computed ?? false, optional: optional ?? false, required: required ?? false },
        };
        continue;
      }
      const encode = /(\w+)ToHclTerraform/.exec(value)?.[1] as string;
      const inner = `${encode[0]?.toUpperCase()}${encode.slice(1)}OutputReference`;
      blocks[name] = {
        nesting: name === 'timeouts' ? 'single' : nesting === 'set' ? 'set' : 'list',
        max: value.includes('listMapperHcl') ? 0 : 1,
        min: required === true ? 1 : 0,
        block: this.#block(this.#functionBody(`${encode}ToHclTerraform`), inner),
      };
    }
    for (const [name, getter] of getters) {
      if (attributes[name] !== undefined || blocks[name] !== undefined || !getter.computed) continue;
      attributes[name] = { type: this.#computedType(getter), computed: true };
    }
    return { attributes, blocks };
  }

  #functionBody(name: string): string {
    const start = this.source.indexOf(`function ${name}(`);
    return start < 0 ? '' : this.source.slice(start, this.source.indexOf('\n}\n', start));
  }

  #computedType({ code }: Getter): SchemaType {
    const nested = /= new (\w+?)(List|MapList|Map|OutputReference)\(this, "\w+"(?:, (\w+))?/.exec(code);
    if (nested !== null) {
      const fields = this.#getters.get(`${nested[1]}OutputReference`) ?? [];
      const object: SchemaType = [
        'object',
        Object.fromEntries(fields.map((field) => [field.name, this.#computedType(field)])),
      ];
      return nested[2] === 'OutputReference' ? object : [nested[3] === 'true' ? 'set' : 'list', object];
    }
    const map = /= new cdkt[fn]\.(String|Number|Boolean)Map\(/.exec(code)?.[1];
    if (map !== undefined) return ['map', map === 'Boolean' ? 'bool' : map.toLowerCase()];
    const getter = /this\.(get\w+Attribute)\(/.exec(code)?.[1] ?? 'getStringAttribute';
    const type = GETTERS[getter] ?? 'string';
    return code.includes('Fn.tolist(') && Array.isArray(type) ? ['set', type[1] as SchemaType] : type;
  }
}

/**
 * Reads the schemas of some types out of an unpacked package.
 *
 * @param library - the package's folder `lib`
 * @param types - types of Terraform, for example `aws_s3_bucket`
 * @returns by type; a type that the package does not have is left out, so that Terraform refuses it
 */
export function schemasOf(library: string, types: Iterable<string>, prefix: '' | 'data-'): Record<string, Block> {
  const found: Record<string, Block> = {};
  for (const type of types) {
    const [, provider, rest] = /^([a-z]+)_(.+)$/.exec(type) ?? [];
    const names = [rest, type].map((name) =>
      `${prefix}${prefix === '' ? '' : `${provider}-`}${name}`.replaceAll('_', '-'),
    );
    const file = names.map((name) => join(library, name, 'index.js')).find((path) => existsSync(path));
    if (file === undefined) continue;
    const source = readFileSync(file, 'utf8');
    if (!source.includes(`tfResourceType = "${type}"`)) continue;
    // Large resources have their blocks in files of their own; the resource stays the last class.
    const blocks = join(dirname(file), 'index-structs');
    const parts = existsSync(blocks) ? readdirSync(blocks).filter((name) => name.endsWith('.js')) : [];
    const whole = [...parts.map((name) => readFileSync(join(blocks, name), 'utf8')), source].join('\n');
    found[type] = new GeneratedClasses(whole).resource();
  }
  return found;
}

/** Reads the schema of the provider's own block. */
export function providerSchemaOf(library: string): Block {
  return new GeneratedClasses(readFileSync(join(library, 'provider', 'index.js'), 'utf8')).resource();
}
