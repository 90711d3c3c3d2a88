import { serveForBench } from '../tools/bench_serving.ts';
import { trainBenchModel } from '../workloads/serving_workload.ts';

// A serving process for the benchmark `scale`: an XGBoost model of 30 columns named `bench`.
const { model } = await trainBenchModel();
const { serving, stop } = await serveForBench({ bench: model.package });
process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
process.stdout.write(`${serving.url}\nready\n`);
