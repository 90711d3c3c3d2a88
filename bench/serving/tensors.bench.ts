import type { OpenInferenceService } from '#serving/protocol/grpc/open_inference_service';
import { serveForBench } from '../tools/bench_serving.ts';
import { median } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';
import { type TensorLoad, tensorCalls } from '../tools/tensor_load.ts';
import { COLUMNS, instances, startMlServer, trainBenchModel } from '../workloads/serving_workload.ts';

// A hundred rows of 30 numbers as a tensor, by the Open Inference Protocol: gRPC with raw contents, REST with binary tensors, REST with JSON; MLServer's gRPC with the same model. In turn, by medians.
const ROUNDS = 5;
const SECONDS = 3;
const ROWS = 100;
const NAME = 'bench';
const MODEL = `/v2/models/${NAME}/infer`;

const { folder, model } = await trainBenchModel();
const peer = await startMlServer(folder, NAME);
const { serving, stop } = await serveForBench({ [NAME]: model.package }, { settings: { grpc: { port: 0 } } });

const values = Float32Array.from(instances(ROWS, 1).flatMap((row) => COLUMNS.map((name) => row[name] as number)));
const bytes = Buffer.from(values.buffer);
const tensor = { name: 'features', shape: [ROWS, COLUMNS.length], datatype: 'FP32' };
const message = { model_name: NAME, inputs: [tensor], raw_input_contents: [bytes] };
const outputs = [{ name: 'probabilities' }];
const head = JSON.stringify({
  inputs: [{ ...tensor, parameters: { binary_data_size: bytes.length } }],
  outputs: [{ name: 'probabilities', parameters: { binary_data: true } }],
});

const { port } = serving.beside as OpenInferenceService;
const json = { 'content-type': 'application/json' };
const binary = {
  'content-type': 'application/octet-stream',
  'inference-header-content-length': String(Buffer.byteLength(head)),
};
const rest = { kind: 'rest', seconds: SECONDS, url: serving.url, path: MODEL } as const;
const grpc = { kind: 'grpc', seconds: SECONDS, message } as const;
const loads: Readonly<Record<string, TensorLoad>> = {
  json: {
    ...rest,
    headers: json,
    body: Buffer.from(JSON.stringify({ inputs: [{ ...tensor, data: [...values] }], outputs })),
  },
  binary: { ...rest, headers: binary, body: Buffer.concat([Buffer.from(head), bytes]) },
  grpc: { ...grpc, address: `127.0.0.1:${port}` },
  mlserver: { ...grpc, address: peer.address },
};
const rates = new Map<string, number[]>(Object.keys(loads).map((name) => [name, []]));
for (let round = -1; round < ROUNDS; round += 1) {
  for (const [name, load] of Object.entries(loads)) {
    const rate = await tensorCalls(load);
    if (round >= 0) rates.get(name)?.push(rate * ROWS);
  }
}
const rowsOf = (name: string): number => median(rates.get(name) as number[]);
for (const [name, title] of [
  ['grpc', 'gRPC, raw contents'],
  ['binary', 'REST, binary tensors'],
] as const) {
  const line = {
    bench: 'tensors',
    case: `${ROWS} rows: ${title}`,
    metric: 'rows',
    unit: 'rows/s',
    value: rowsOf(name),
  };
  report({ ...line, peer: 'REST, JSON', peerValue: rowsOf('json'), ratioFloor: 1.5 });
  report({ ...line, peer: "MLServer's gRPC", peerValue: rowsOf('mlserver'), ratioFloor: 5 });
}
await stop();
await peer.stop();
process.exit(0);
