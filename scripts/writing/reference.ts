import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { z } from 'zod';
import { ENVIRONMENT_VARIABLES, platformConfigSchema } from '#cli/project/config/platform_config';
import type { Catalog } from '#feature_store/definitions/catalog';
import { describeView } from '#feature_store/definitions/feature_view';
import { DAY_MS } from '#kernel/time';
import { declaredMetrics } from '../checking/declared_metrics.ts';

// docs/reference: what the code says of itself, as Markdown.

export const REFERENCE_FOLDER = 'docs/reference';

const WRITTEN = 'Written by `npm run reference` from the code; do not edit.';
const page = (title: string, ...parts: readonly string[]): string =>
  `${[`# ${title}`, WRITTEN, ...parts].join('\n\n')}\n`;
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
}

/** Every key of configs/*.yaml: what it takes, what it is without, which variable sets it. */
export function configurationReference(): string {
  const schema = z.toJSONSchema(platformConfigSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const variables = new Map<string, string[]>();
  for (const [name, { path }] of Object.entries(ENVIRONMENT_VARIABLES)) {
    variables.set(path, [...(variables.get(path) ?? []), `\`${name}\``]);
  }
  const sections = Object.entries(schema.properties ?? {}).map(([name, part]) => {
    const keys = keysOf(part, name, schema.required?.includes(name) === true);
    const rows = keys.map(({ path, takes, without }) => {
      // Of keys below a kind the variable is that of the key.
      const plain = path.replace(/\([^)]*\)/g, '');
      return [`\`${path}\``, takes, without, variables.get(plain)?.join(', ') ?? ''];
    });
    return `## ${name}\n\n${table(['key', 'takes', 'without it', 'variable'], rows)}`;
  });
  return page(
    'Configuration',
    'The keys of `configs/*.yaml`; [configuration](../configuration.md) says how they are put together.',
    ...sections,
  );
}

interface Key {
  readonly path: string;
  readonly takes: string;
  readonly without: string;
}

function keysOf(schema: JsonSchema, path: string, isRequired: boolean): readonly Key[] {
  const choices = schema.oneOf ?? schema.anyOf;
  const kinds = choices?.flatMap((choice) => (choice.properties === undefined ? [] : [choice])) ?? [];
  if (choices !== undefined && kinds.length === choices.length) {
    return kinds.flatMap((choice) => {
      const [tag, { const: kind }] = Object.entries(choice.properties ?? {}).find(
        ([, of]) => of.const !== undefined,
      ) ?? ['', { const: '' }];
      return objectKeys(choice, `${path}(${tag}: ${kind})`).filter(({ path: own }) => !own.endsWith(`.${tag}`));
    });
  }
  if (schema.properties !== undefined) return objectKeys(schema, path);
  if (typeof schema.additionalProperties === 'object')
    return keysOf(schema.additionalProperties, `${path}.NAME`, false);
  if (schema.items?.properties !== undefined) return objectKeys(schema.items, `${path}[]`);
  const without =
    schema.default === undefined ? (isRequired ? '**required**' : '') : `\`${JSON.stringify(schema.default)}\``;
  return [{ path, takes: takesOf(schema), without }];
}

const objectKeys = ({ properties = {}, required = [] }: JsonSchema, path: string): readonly Key[] =>
  Object.entries(properties).flatMap(([name, of]) => keysOf(of, `${path}.${name}`, required.includes(name)));

function takesOf({ type, const: only, enum: values, items, oneOf, anyOf }: JsonSchema): string {
  if (only !== undefined) return `\`${only}\``;
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(', ');
  const choices = oneOf ?? anyOf;
  if (choices !== undefined) return [...new Set(choices.map(takesOf))].join(' or ');
  if (typeof type === 'object') return type.map((each) => takesOf({ type: each })).join(' or ');
  if (type === 'array') return `list of ${takesOf(items ?? {})}`;
  return (
    { integer: 'integer', boolean: 'boolean', string: 'string', object: 'keys of its own' }[type ?? ''] ??
    type ??
    'anything'
  );
}

/** Every view of a catalog with its features, and every service. */
export function featureReference({ views: defined, services: named }: Catalog): string {
  const views = defined.map((view) => {
    const { features, rules, description, owner, tags = [], entity, source, mode, ttlMs } = describeView(view);
    const about = `${description.replace(/[.]?$/, '.')} Of ${entity}, from ${source}, ${mode}; kept ${ttlMs / DAY_MS} days; owner: ${owner}${tags.length === 0 ? '' : `; tags: ${tags.join(', ')}`}.`;
    const rows = features.map((feature) => [
      `\`${feature.name}\``,
      `\`${feature.type}\``,
      feature.kind,
      feature.description,
    ]);
    const quality = (rules ?? []).map((rule) => [`\`${rule.name}\``, rule.action, rule.description]);
    return [
      `## ${view.view}@${view.version}`,
      about,
      table(['feature', 'type', 'kind', 'is'], rows),
      ...(quality.length === 0 ? [] : [table(['rule', 'a row that breaks it', 'says'], quality)]),
    ].join('\n\n');
  });
  const services = named.map(({ signature, description, owner }) => [`\`${signature.service}\``, owner, description]);
  return page('Features', ...views, `## Services\n\n${table(['service', 'owner', 'is'], services)}`);
}

/** Every command with its arguments and options, and what they are without. */
export function commandsReference(program: CommandUnknownOpts): string {
  const help = program.createHelp();
  const leaves = (command: CommandUnknownOpts): readonly CommandUnknownOpts[] =>
    command.commands.length === 0
      ? [command]
      : command.commands.filter((below) => help.visibleCommands(command).includes(below)).flatMap(leaves);
  const nameOf = (command: CommandUnknownOpts): string =>
    command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
  const optionRows = (command: CommandUnknownOpts) =>
    help
      .visibleOptions(command)
      .filter(({ long }) => long !== '--help')
      .map((option) => [`\`${option.flags}\``, help.optionDescription(option), option.mandatory ? 'yes' : '']);
  const options = (command: CommandUnknownOpts): readonly string[] => {
    const rows = optionRows(command);
    return rows.length === 0 ? [] : [table(['option', 'is', 'required'], rows)];
  };
  const sections = leaves(program).map((command) => {
    const named = help
      .visibleArguments(command)
      .map((argument) => [
        `\`${argument.name()}\``,
        help.argumentDescription(argument),
        argument.required ? 'yes' : '',
      ]);
    return [
      `## ${nameOf(command)}`,
      `${command.description()}.`,
      `\`\`\`\n${nameOf(command)} ${command.usage()}\n\`\`\``,
      ...(named.length === 0 ? [] : [table(['argument', 'is', 'required'], named)]),
      ...options(command),
    ].join('\n\n');
  });
  return page(
    'Commands',
    'Every command of `headwater`; [commands](../commands.md) describes exit codes, output and the options of all of them.',
    ...options(program),
    ...sections,
  );
}

/** Every metric that the code makes, also of parts that a configuration leaves out. */
export function metricsReference(): string {
  const rows = declaredMetrics().map(({ name, type, help }) => [`\`${name}\``, type, help]);
  return page(
    'Metrics',
    'What processes report at GET /metrics, besides `nodejs_*` and `process_*` of the runtime; [monitoring](../monitoring.md) says what is made of it. A part that is not configured reports none of its own.',
    table(['metric', 'type', 'is'], rows),
  );
}
