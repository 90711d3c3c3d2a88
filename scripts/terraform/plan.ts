import { readFile } from 'node:fs/promises';

/** A resource of a plan: attributes that only the cloud knows are left out. */
export interface PlannedResource {
  readonly address: string;
  readonly type: string;
  readonly values: Readonly<Record<string, unknown>>;
}

interface PlannedModule {
  readonly resources?: readonly (PlannedResource & { readonly mode: string })[];
  readonly child_modules?: readonly PlannedModule[];
}

/** Returns the resources of `tofu show -json PLAN`, those of modules too. */
export function resourcesOf(plan: {
  readonly planned_values: { readonly root_module: PlannedModule };
}): readonly PlannedResource[] {
  const collect = (module: PlannedModule): PlannedResource[] => [
    ...(module.resources ?? []).filter(({ mode }) => mode === 'managed'),
    ...(module.child_modules ?? []).flatMap(collect),
  ];
  return collect(plan.planned_values.root_module);
}

export const readPlan = async (path: string): Promise<readonly PlannedResource[]> =>
  resourcesOf(JSON.parse(await readFile(path, 'utf8')));

export interface Statement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action?: string | readonly string[];
  readonly NotAction?: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly Condition?: unknown;
}
export interface PolicyDocument {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

export const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

/** Attributes with a policy of IAM, by type. */
const POLICY_ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  aws_iam_role: ['assume_role_policy'],
  aws_iam_role_policy: ['policy'],
  aws_iam_policy: ['policy'],
  aws_kms_key: ['policy'],
  aws_s3_bucket_policy: ['policy'],
  aws_sns_topic_policy: ['policy'],
};

/** Returns each policy of a plan; undefined for one that is known after apply only. */
export function policiesOf(resources: readonly PlannedResource[]): readonly {
  readonly resource: PlannedResource;
  readonly attribute: string;
  readonly document: PolicyDocument | undefined;
}[] {
  return resources.flatMap((resource) =>
    (POLICY_ATTRIBUTES[resource.type] ?? []).map((attribute) => {
      const text = resource.values[attribute];
      return {
        resource,
        attribute,
        document: typeof text === 'string' ? (JSON.parse(text) as PolicyDocument) : undefined,
      };
    }),
  );
}
