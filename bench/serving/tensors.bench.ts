import type { OpenInferenceService } from '#serving/protocol/grpc/open_inference_service';
import { type BenchServing, serveForBench } from '../tools/bench_serving.ts';
import { median } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';
import { type TensorLoad, tensorCalls } from '../tools/tensor_load.ts';
import { COLUMNS, instances, startMlServer, trainBenchModel } from '../workloads/serving_workload.ts';

// A hundred rows of 30 numbers as a tensor, by the Open Inference Protocol: gRPC with raw contents, REST with binary tensors, REST with JSON; the same where
// no prediction is logged, as MLServer logs none; MLServer's gRPC with the same model. In turn, by medians: CPU time of the server, and rows a second.
const ROUNDS = 5;
const SECONDS = 3;
const ROWS = 100;
const NAME = 'bench';
const MODEL = `/v2/models/${NAME}/infer`;
/** Beside a machine that has other work, a request is to wait rather than be refused. */
const PATIENT = { maxQueueMs: 60_000 };

const { folder, model } = await trainBenchModel();
const peer = await startMlServer(folder, NAME);
const serve = (isLogging: boolean): Promise<BenchServing> =>
  serveForBench({ [NAME]: model.package }, { settings: { grpc: { port: 0 }, ...PATIENT }, isLogging });
const logged = await serve(true);
const unlogged = await serve(false);

const values = Float32Array.from(instances(ROWS, 1).flatMap((row) => COLUMNS.map((name) => row[name] as number)));
const bytes = Buffer.from(values.buffer);
const tensor = { name: 'features', shape: [ROWS, COLUMNS.length], datatype: 'FP32' };
const outputs = [{ name: 'probabilities' }];
const message = { model_name: NAME, inputs: [tensor], outputs, raw_input_contents: [bytes] };
const head = JSON.stringify({
  inputs: [{ ...tensor, parameters: { binary_data_size: bytes.length } }],
  outputs: [{ name: 'probabilities', parameters: { binary_data: true } }],
});
const json = {
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify({ inputs: [{ ...tensor, data: [...values] }], outputs })),
};
const binary = {
  headers: {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(Buffer.byteLength(head)),
  },
  body: Buffer.concat([Buffer.from(head), bytes]),
};

const addressOf = ({ serving }: BenchServing): string => `127.0.0.1:${(serving.beside as OpenInferenceService).port}`;
const grpc = (address: string): TensorLoad => ({ kind: 'grpc', seconds: SECONDS, message, address });
const rest = ({ serving }: BenchServing, sent: typeof json | typeof binary): TensorLoad => ({
  ...{ kind: 'rest', seconds: SECONDS, url: serving.url, path: MODEL },
  ...sent,
});
const ours = async (): Promise<number> => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};
const loads = {
  json: { load: rest(logged, json), cpuMs: ours },
  binary: { load: rest(logged, binary), cpuMs: ours },
  grpc: { load: grpc(addressOf(logged)), cpuMs: ours },
  'binary unlogged': { load: rest(unlogged, binary), cpuMs: ours },
  'grpc unlogged': { load: grpc(addressOf(unlogged)), cpuMs: ours },
  mlserver: { load: grpc(peer.address), cpuMs: peer.cpuMs },
};
type Name = keyof typeof loads;

const rates = new Map<string, number[]>(Object.keys(loads).map((name) => [name, []]));
const costs = new Map<string, number[]>(Object.keys(loads).map((name) => [name, []]));
for (let round = -1; round < ROUNDS; round += 1) {
  for (const [name, { load, cpuMs }] of Object.entries(loads)) {
    const before = await cpuMs();
    const { calls, ms } = await tensorCalls(load);
    const rows = calls * ROWS;
    // What waits for the log is part of it.
    await logged.flush();
    const after = await cpuMs();
    if (round < 0) continue;
    rates.get(name)?.push(rows / (ms / 1_000));
    if (before !== undefined && after !== undefined) costs.get(name)?.push(((after - before) * 1_000) / rows);
  }
}
const of = (found: ReadonlyMap<string, number[]>, name: Name): number => median(found.get(name) as number[]);
for (const [name, title] of [
  ['grpc', 'gRPC, raw contents'],
  ['binary', 'REST, binary tensors'],
  ['grpc unlogged', 'gRPC, raw contents, nothing logged'],
  ['binary unlogged', 'REST, binary tensors, nothing logged'],
] as const) {
  for (const [other, peerName, floor] of [
    ['json', 'REST, JSON', 1.5],
    ['mlserver', "MLServer's gRPC", 5],
  ] as const) {
    const line = { bench: 'tensors', case: `${ROWS} rows: ${title}`, peer: peerName };
    const [cpu, peerCpu] = [of(costs, name), of(costs, other)];
    report({ ...line, metric: 'CPU time a row', unit: 'µs', value: cpu, peerValue: peerCpu, ceiling: peerCpu / floor });
    report({
      ...{ ...line, metric: 'rows', unit: 'rows/s', ratioFloor: floor },
      ...{ value: of(rates, name), peerValue: of(rates, other) },
    });
  }
}
report({
  ...{ bench: 'tensors', case: 'predictions answered and not logged', metric: 'dropped', unit: 'rows' },
  ...{ value: await logged.dropped(), ceiling: 0 },
});
await logged.stop();
await unlogged.stop();
await peer.stop();
process.exit(0);
