import { messageOf } from '#kernel/errors';
import type { ModelVersion } from '../model_registry.ts';
import { DATA_QUALITY_TAG, GREEN } from '../model_tags.ts';
import { describeOnnx } from '../onnx/describe_onnx.ts';
import type { ModelPackage } from '../packages/model_package.ts';
import { comparisonWith } from './comparison.ts';
import type { GatesConfig } from './gates_config.ts';

/** What running a model has shown. */
export interface Examination {
  /** Median time for one row, ms. */
  readonly latencyMs: number;
}

export interface Candidate {
  readonly version: ModelVersion;
  readonly package: ModelPackage;
  /** Why it cannot be run as it should, or what running it has shown: golden rows included. */
  readonly examined: Examination | { readonly problem: string };
  /** What speaks against its signature here. */
  readonly signatureProblems: readonly string[];
}

export interface GateResult {
  readonly gate: 'signature' | 'golden rows' | 'size' | 'opset' | 'latency' | 'data quality' | 'metric' | 'approval';
  readonly passed: boolean;
  readonly detail: string;
}

/**
 * Every gate with its outcome, whether it was passed or not.
 *
 * @param champion - the version in production now; undefined when there is none, or it is the candidate
 */
export function checkGates(
  candidate: Candidate,
  champion: ModelVersion | undefined,
  gates: GatesConfig,
): readonly GateResult[] {
  const { examined, signatureProblems } = candidate;
  const bytes = candidate.package.onnx.length;
  const results: GateResult[] = [
    {
      gate: 'signature',
      passed: signatureProblems.length === 0,
      detail: signatureProblems.join('; ') || `${candidate.package.signature.inputs.length} columns`,
    },
    {
      gate: 'golden rows',
      passed: !('problem' in examined),
      detail: 'problem' in examined ? examined.problem : `${candidate.package.examples.length} come out as trained`,
    },
    { gate: 'size', passed: bytes <= gates.maxBytes, detail: `${bytes} of ${gates.maxBytes} bytes` },
    checkOperators(candidate.package.onnx, gates),
    checkDataQuality(candidate.version),
  ];
  if (!('problem' in examined)) {
    const { latencyMs } = examined;
    const detail = `${latencyMs.toFixed(3)} ms a row, ${gates.maxLatencyMs} at most`;
    results.push({ gate: 'latency', passed: latencyMs <= gates.maxLatencyMs, detail });
  }
  if (gates.metric !== undefined)
    results.push(checkMetric(candidate.version, champion, { ...gates, metric: gates.metric }));
  return results;
}

/** Domains of operators that onnxruntime brings along. */
const KNOWN_DOMAINS = new Set(['ai.onnx.ml', 'com.microsoft']);

function checkOperators(onnx: Uint8Array, { maxOpset }: GatesConfig): GateResult {
  const gate = 'opset';
  let described: ReturnType<typeof describeOnnx>;
  try {
    described = describeOnnx(onnx);
  } catch (error) {
    return { gate, passed: false, detail: messageOf(error) };
  }
  const { opset, domains } = described;
  const unknown = domains.filter((domain) => !KNOWN_DOMAINS.has(domain));
  if (unknown.length > 0) {
    return {
      gate,
      passed: false,
      detail: `it has operators of ${unknown.join(', ')}, which onnxruntime does not have`,
    };
  }
  if (opset === undefined) return { gate, passed: true, detail: `operators of ${domains.join(', ')} alone` };
  return { gate, passed: opset <= maxOpset, detail: `opset ${opset}, ${maxOpset} at most` };
}

function checkDataQuality({ tags }: ModelVersion): GateResult {
  const tag = tags[DATA_QUALITY_TAG];
  const detail = tag ?? 'nothing is known of the data that it was trained on';
  return { gate: 'data quality', passed: tag === undefined || tag === GREEN, detail };
}

function checkMetric(
  candidate: ModelVersion,
  champion: ModelVersion | undefined,
  { metric, better, worst, tolerance }: GatesConfig & { readonly metric: string },
): GateResult {
  const { version } = candidate;
  // What each came to on its own test rows says little once the world has changed between them.
  const compared = comparisonWith(candidate, champion);
  const metrics = compared?.metrics ?? candidate.metrics;
  const value = metrics[metric];
  const gate = 'metric';
  if (value === undefined || Number.isNaN(value)) {
    return {
      gate,
      passed: false,
      detail: `version ${version} has no ${metric}: it has ${Object.keys(metrics).join(', ') || 'none'}`,
    };
  }
  // Seen so that higher is better.
  const sign = better === 'higher' ? 1 : -1;
  if (worst !== undefined && sign * value < sign * worst) {
    return { gate, passed: false, detail: `${metric} ${value} is worse than ${worst}, the worst that is taken` };
  }
  const held = (compared?.championMetrics ?? champion?.metrics)?.[metric];
  if (champion === undefined || held === undefined) return { gate, passed: true, detail: `${metric} ${value}` };
  const passed = sign * value >= sign * held - tolerance;
  const allowed = tolerance === 0 ? '' : `, ${tolerance} worse at most`;
  return {
    gate,
    passed,
    detail: `${metric} ${value}; version ${champion.version} in production has ${held}${compared === undefined ? '' : ` on the same ${compared.rows} rows`}${allowed}`,
  };
}
