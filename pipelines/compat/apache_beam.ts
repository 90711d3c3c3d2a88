import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';
import type * as BeamPipelines from 'apache-beam/internal/pipeline';
import type * as BeamSerialization from 'apache-beam/internal/serialize';
import type * as BeamProtos from 'apache-beam/proto/beam_runner_api';
import type * as BeamMetrics from 'apache-beam/proto/metrics';
import type * as BeamPValues from 'apache-beam/pvalue';
import type * as BeamRunners from 'apache-beam/runners/runner';
import type * as BeamValueTypes from 'apache-beam/values';
import { missingPackage } from '#kernel/optional_package';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { BoundedWindow } from '#pipelines/engine/dofn';
import type { Metric } from '#pipelines/engine/metrics';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { type Monitored, sampleOf, userMetricsOf } from '#pipelines/harness/monitored';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { JobState_Enum } from '#pipelines/proto/beam_job_api';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import { runPortable } from '#pipelines/runner/portable/portable';
import type { BeamValues } from './apache_beam_dofn.ts';
import { type BeamGraph, constructOf } from './apache_beam_graph.ts';
import { beamUnavailable } from './errors.ts';

/** Where a pipeline of apache-beam's SDK runs. */
export interface HeadwaterRunnerOptions {
  /** host:port of a portable runner's job service, such as Flink's. Default: the pipeline runs in this process. */
  readonly jobEndpoint?: string;
  readonly jobName?: string;
  /** Pipeline options of the portable runner, in snake case: `parallelism`, … */
  readonly runnerOptions?: Readonly<Record<string, OptionValue>>;
}

interface BeamSdk {
  readonly Pipeline: typeof BeamPipelines.Pipeline;
  readonly Root: typeof BeamPValues.Root;
  readonly Runner: typeof BeamRunners.Runner;
  readonly PipelineResult: typeof BeamRunners.PipelineResult;
  readonly PipelineProto: typeof BeamProtos.Pipeline;
  readonly MonitoringInfo: typeof BeamMetrics.MonitoringInfo;
  readonly deserializeFn: typeof BeamSerialization.deserializeFn;
  readonly values: BeamValues;
}

type Serialize = (value: unknown, ...rest: unknown[]) => unknown;

const require = createRequire(import.meta.url);
const REFERENCE = 'headwater:function:';

/** Functions of the graph that is being built for one of our runners. */
const building = new AsyncLocalStorage<Map<string, unknown>>();
let loaded: BeamSdk | undefined;

/**
 * Returns a runner for pipelines that are written with npm's apache-beam: `await createHeadwaterRunner().run((root) => …)`. Functions are
 * called as they are, with what they capture. Transforms of other languages do not run.
 *
 * @throws {@link PackageMissingError} when apache-beam is not installed
 * @throws {@link BeamUnavailableError} when it does not load on this Node
 */
export function createHeadwaterRunner(options: HeadwaterRunnerOptions = {}): BeamRunners.Runner {
  const beam = loadBeam();
  class HeadwaterRunner extends beam.Runner {
    override async runAsync(pipeline: Parameters<BeamRunners.Runner['run']>[0]): Promise<BeamRunners.PipelineResult> {
      const functions = new Map<string, unknown>();
      const built = new beam.Pipeline();
      await building.run(functions, async () => pipeline(new beam.Root(built)));
      return this.#start(built.getProto(), functions);
    }

    override async runPipeline(proto: BeamProtos.Pipeline): Promise<BeamRunners.PipelineResult> {
      return this.#start(proto, new Map());
    }

    #start(proto: BeamProtos.Pipeline, functions: ReadonlyMap<string, unknown>): BeamRunners.PipelineResult {
      const graph: BeamGraph = {
        proto: runnerApi.Pipeline.fromBinary(beam.PipelineProto.toBinary(proto)),
        functionOf(payload) {
          const reference: unknown = JSON.parse(new TextDecoder().decode(payload));
          const known = typeof reference === 'string' && reference.startsWith(REFERENCE);
          return known ? functions.get(reference) : beam.deserializeFn(payload);
        },
        values: beam.values,
      };
      return resultOf(beam, start(constructOf(graph), options));
    }
  }
  return new HeadwaterRunner();
}

type Samples = readonly Omit<Monitored, 'type'>[];

/** Runs a graph to its end and returns what its DoFns counted. */
async function start(construct: Construct, options: HeadwaterRunnerOptions): Promise<Samples> {
  const { jobEndpoint, ...settings } = options;
  if (jobEndpoint !== undefined) return (await runPortable(construct, { jobEndpoint, ...settings })).metrics;
  const counted = new Map<string, { readonly transform: string; readonly metric: Metric }>();
  const metrics = {
    ...createPipelineMetrics(createMetricsRegistry({ process: false })),
    setUserMetric(transform: string, metric: Metric): void {
      counted.set(`${transform}\n${metric.name}`, { transform, metric });
    },
  };
  await runEmbedded(createPipeline(construct), { metrics }).finished;
  return [...counted.values()].flatMap(({ transform, metric }) => {
    const sample = sampleOf(metric);
    return sample === undefined ? [] : [{ ...sample, labels: { PTRANSFORM: transform, NAME: metric.name } }];
  });
}

function resultOf(beam: BeamSdk, running: Promise<Samples>): BeamRunners.PipelineResult {
  // The pipeline's failure is the caller's when it waits for the end.
  running.catch(() => {});
  class Result extends beam.PipelineResult {
    override async waitUntilFinish(): ReturnType<BeamRunners.PipelineResult['waitUntilFinish']> {
      await running;
      return JobState_Enum.DONE as never;
    }

    override async rawMetrics(): Promise<BeamMetrics.MonitoringInfo[]> {
      return (await running).map((sample) => beam.MonitoringInfo.create(sample));
    }

    override async counters(): Promise<{ [key: string]: number }> {
      return { ...userMetricsOf(await running).counters };
    }

    override async distributions(): ReturnType<BeamRunners.PipelineResult['distributions']> {
      return { ...userMetricsOf(await running).distributions } as never;
    }
  }
  return new Result();
}

/** Loads the SDK once. Its index knows an order in which its modules load. */
function loadBeam(): BeamSdk {
  if (loaded !== undefined) return loaded;
  try {
    require('apache-beam');
  } catch (error) {
    const missing = missingPackage({ packages: ['apache-beam'], use: 'headwater/apache-beam' }, error);
    throw missing ?? beamUnavailable(error) ?? error;
  }
  const fromBeam = createRequire(require.resolve('apache-beam'));
  keepFunctions(fromBeam('serialize-closures/dist/src/serialize') as { default: Serialize });
  loaded = {
    Pipeline: (require('apache-beam/internal/pipeline') as typeof BeamPipelines).Pipeline,
    Root: (require('apache-beam/pvalue') as typeof BeamPValues).Root,
    ...(require('apache-beam/runners/runner') as typeof BeamRunners),
    PipelineProto: (require('apache-beam/proto/beam_runner_api') as typeof BeamProtos).Pipeline,
    MonitoringInfo: (require('apache-beam/proto/metrics') as typeof BeamMetrics).MonitoringInfo,
    deserializeFn: (require('apache-beam/internal/serialize') as typeof BeamSerialization).deserializeFn,
    values: valuesOf(require('apache-beam/values') as typeof BeamValueTypes, fromBeam('long') as LongType),
  };
  return loaded;
}

/**
 * The SDK turns functions into text and loses what they captured. In a graph for one of our runners it keeps a reference to the function
 * instead; graphs for its own runners stay as they are.
 */
function keepFunctions(closures: { default: Serialize }): void {
  const { default: serialize } = closures;
  closures.default = (value, ...rest) => {
    const functions = building.getStore();
    if (functions === undefined) return serialize(value, ...rest);
    const reference = `${REFERENCE}${functions.size}`;
    functions.set(reference, value);
    return reference;
  };
}

interface LongType {
  fromNumber(value: number): { toNumber(): number };
}

const valuesOf = ({ GlobalWindow, IntervalWindow }: typeof BeamValueTypes, Long: LongType): BeamValues => ({
  instant: (ms) => Long.fromNumber(ms),
  window: (window) =>
    window === GLOBAL_WINDOW
      ? new GlobalWindow()
      : new IntervalWindow(Long.fromNumber(window.start) as never, Long.fromNumber(window.end) as never),
  pane: (pane) => pane,
  ownWindow(window): BoundedWindow {
    if (!(window instanceof IntervalWindow)) return GLOBAL_WINDOW;
    return new Window(eventTime(window.start.toNumber()), eventTime(window.end.toNumber()));
  },
});
