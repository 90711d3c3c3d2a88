import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { parseSync } from '@swc/core';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';

const FOLDERS = 'kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,cli';
/** Classes of prom-client, and the functions of monitoring/metrics.ts that make one when the registry has none yet. */
const TYPES: Readonly<Record<string, string>> = {
  ...{ Counter: 'counter', Gauge: 'gauge', Histogram: 'histogram', LatencyHistogram: 'histogram', Summary: 'summary' },
  ...{ counterOf: 'counter', gaugeOf: 'gauge' },
};
const IMPORTED_FROM = /(?:^prom-client|\/(?:latency_histogram|metrics)(?:\.ts)?)$/;
/** Passes on what its callers give. */
const SHARED = 'monitoring/metrics.ts';

export interface DeclaredMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

/**
 * Returns every metric that the code makes, by name, whether or not a configuration registers it.
 *
 * @throws an error that names the file and the line of a metric whose name or help is not a literal
 */
export function declaredMetrics(): readonly DeclaredMetric[] {
  const files = globSync([`{${FOLDERS}}/**/*.ts`], { cwd: projectRoot }).filter((file) => file !== SHARED);
  const metrics = files.flatMap((file) => metricsIn(file, readFileSync(assetPath(file), 'utf8')));
  const byName = new Map(metrics.map((metric) => [metric.name, metric]));
  return [...byName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** Returns the metrics that one file makes. */
export function metricsIn(file: string, source: string): readonly DeclaredMetric[] {
  if (!/from '[^']*(?:metrics|prom-client)/.test(source)) return [];
  const { body } = parseSync(source, { syntax: 'typescript', target: 'es2022' });
  const known = importedNames(file, body as unknown as readonly Node[]);
  if (known.size === 0) return [];
  const found: DeclaredMetric[] = [];
  visit(body, (node) => {
    if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return;
    const callee = node.callee as Node | undefined;
    const type = known.get(String(callee?.value));
    if (callee?.type !== 'Identifier' || type === undefined) return;
    const given = (node.arguments as readonly { readonly expression: Node }[]).map(({ expression }) => expression);
    const settings = given.find((argument) => argument.type === 'ObjectExpression');
    const [name, help] = [literalOf(settings, 'name'), literalOf(settings, 'help')];
    if (name === undefined || help === undefined)
      throw new Error(
        `${file}: a ${type} has no literal name and help: write them out, docs/reference/metrics.md lists them`,
      );
    found.push({ name, type, help });
  });
  return found;
}

type Node = { readonly type: string; readonly [key: string]: unknown };

/** Local names of the classes and functions that make metrics, with the type that each makes. */
function importedNames(file: string, body: readonly Node[]): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  for (const node of body) {
    if (node.type !== 'ImportDeclaration') continue;
    const { value: given } = node.source as { readonly value: string };
    const source = given.startsWith('.') ? join(dirname(file), given) : given;
    // Metrics of Beam have the same names and are made by pipelines.
    if (!IMPORTED_FROM.test(source) || source.includes('engine/')) continue;
    for (const { local, imported } of node.specifiers as readonly { local: Node; imported?: Node | null }[]) {
      const type = TYPES[String((imported ?? local).value)];
      if (type !== undefined) known.set(String(local.value), type);
    }
  }
  return known;
}

function literalOf(settings: Node | undefined, key: string): string | undefined {
  const properties = (settings?.properties ?? []) as readonly { key?: Node; value?: Node }[];
  const value = properties.find((property) => property.key?.value === key)?.value;
  return value?.type === 'StringLiteral' ? String(value.value) : undefined;
}

function visit(node: unknown, look: (node: Node) => void): void {
  if (Array.isArray(node)) for (const each of node) visit(each, look);
  else if (typeof node === 'object' && node !== null) {
    if (typeof (node as Node).type === 'string') look(node as Node);
    for (const each of Object.values(node)) visit(each, look);
  }
}
