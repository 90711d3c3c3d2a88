import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { PlannedResource } from './plan.ts';

// Values that AWS's own API models enumerate (botocore, which moto brings): schemas of providers have these as strings.

/** Attributes by type, with the service and the shape that lists their values. */
const ENUMERATED: Readonly<Record<string, Readonly<Record<string, readonly [service: string, shape: string]>>>> = {
  aws_eks_node_group: { capacity_type: ['eks', 'CapacityTypes'] },
  aws_dynamodb_table: { billing_mode: ['dynamodb', 'BillingMode'] },
  aws_cloudwatch_metric_alarm: {
    comparison_operator: ['cloudwatch', 'ComparisonOperator'],
    statistic: ['cloudwatch', 'Statistic'],
  },
  aws_budgets_budget: { budget_type: ['budgets', 'BudgetType'], time_unit: ['budgets', 'TimeUnit'] },
  aws_msk_cluster: { enhanced_monitoring: ['kafka', 'EnhancedMonitoring'] },
  aws_flow_log: { traffic_type: ['ec2', 'TrafficType'] },
  aws_vpc_endpoint: { vpc_endpoint_type: ['ec2', 'VpcEndpointType'] },
  aws_wafv2_web_acl: { scope: ['wafv2', 'Scope'] },
};

/** @param data - botocore's folder `data` */
export function wrongValues(data: string, resources: readonly PlannedResource[]): readonly string[] {
  const models = new Map<string, Record<string, { enum?: readonly string[] }>>();
  const shapesOf = (service: string) => {
    const known = models.get(service);
    if (known !== undefined) return known;
    const version = readdirSync(join(data, service)).sort().at(-1) as string;
    const model = gunzipSync(readFileSync(join(data, service, version, 'service-2.json.gz'))).toString('utf8');
    const { shapes } = JSON.parse(model) as { shapes: Record<string, { enum?: readonly string[] }> };
    models.set(service, shapes);
    return shapes;
  };
  return resources.flatMap(({ address, type, values }) =>
    Object.entries(ENUMERATED[type] ?? {}).flatMap(([attribute, [service, shape]]) => {
      const value = values[attribute];
      const allowed = shapesOf(service)[shape]?.enum;
      if (allowed === undefined) return [`${service} has no enumeration ${shape}`];
      return typeof value !== 'string' || allowed.includes(value)
        ? []
        : [`${address}: ${attribute} is "${value}", which is none of ${allowed.join(', ')}`];
    }),
  );
}
