import assert from 'node:assert/strict';
import type { ContractCase } from '#kernel/contract';
import { Random } from '#kernel/random';
import type * as Scoring from '../evaluation/score.ts';
import { outputWidth } from '../packages/model_package.ts';
import type { Trained, Trainer } from '../trainers/define_trainer.ts';
import { heldOutFrom, type TrainingTable } from '../training_table.ts';

/** What the contract of a trainer is tried with. */
export interface TrainerContractOptions {
  /** As a model's `training.settings` has them. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** A table that the trainer learns from; default: 400 rows of two classes, decided by one of three columns. */
  readonly table?: TrainingTable;
  readonly timeoutMs?: number;
}

const ROWS = 400;
const TIMEOUT_MS = 60_000;
const CLOSE = 1e-4;

/** Two numbers and a string; the label is whether the first is above a half. */
export function contractTable(): TrainingTable {
  const random = new Random(7);
  const rows = Array.from({ length: ROWS }, () => {
    const value = random.next();
    return {
      cells: [value, random.next() * 100, value > 0.9 ? null : (['a', 'b'][Math.floor(random.next() * 2)] ?? null)],
      label: value > 0.5 ? 1 : 0,
    };
  });
  return {
    featureService: { service: 'contract@1', fingerprint: 'contract' },
    columns: [
      { name: 'value', type: 'double' },
      { name: 'noise', type: 'double' },
      { name: 'category', type: 'string' },
    ],
    rows: rows.map(({ cells }) => cells),
    labels: rows.map(({ label }) => label),
  };
}

/** Returns the cases of what every trainer does: its models can be registered, served and judged. */
export function trainerContract(trainer: Trainer, options: TrainerContractOptions = {}): readonly ContractCase[] {
  const { table = contractTable(), timeoutMs = TIMEOUT_MS } = options;
  const train = async (): Promise<Trained> => {
    const settings = trainer.settings.parse(options.settings ?? {});
    return trainer.train({ table, settings, seed: 7, report: () => {} });
  };
  const cases: ContractCase[] = [];
  const test = (name: string, run: () => Promise<void>): void => void cases.push({ name, timeoutMs, run });
  const rows = table.rows.length;
  // onnxruntime is loaded when a case runs: tests of features need none.
  const scoreTable: typeof Scoring.scoreTable = async (...of) =>
    (await import('../evaluation/score.ts')).scoreTable(...of);

  test('the model reads columns of the table, by their names and types', async () => {
    const { inputs } = (await train()).package.signature;
    assert.ok(inputs.length > 0, 'the signature has no inputs');
    for (const { name, type } of inputs) {
      const column = table.columns.find((each) => each.name === name);
      assert.ok(column !== undefined, `the table has no column "${name}"`);
      assert.equal(type, column.type);
    }
  });

  test('the signature names the feature service of the table, so that serving by entity knows what to read', async () => {
    assert.deepEqual((await train()).package.signature.featureService, table.featureService);
  });

  test('onnxruntime runs the graph, and each row has as many outputs as the signature says, all of them numbers', async () => {
    const { package: model } = await train();
    const { outputs, width, rows: scored } = await scoreTable(model, table, heldOutFrom(rows), rows);
    assert.equal(width, outputWidth(model.signature));
    assert.equal(scored.length, rows - heldOutFrom(rows));
    assert.ok(outputs.every(Number.isFinite), 'an output is NaN or infinite');
    if (!model.signature.task.endsWith('classification')) return;
    for (let row = 0; row < scored.length; row += 1) {
      const shares = Array.from(outputs.subarray(row * width, (row + 1) * width));
      const sum = shares.reduce((total, share) => total + share, 0);
      assert.ok(Math.abs(sum - 1) < 1e-3, `the probabilities of a row add up to ${sum}`);
    }
  });

  test('examples have the outputs that the graph computes', async () => {
    const { package: model } = await train();
    for (const { features, output } of model.examples) {
      const cells = table.columns.map(({ name }) => (features[name] ?? null) as TrainingTable['rows'][number][number]);
      const { outputs } = await scoreTable(model, { ...table, rows: [cells], labels: [0] }, 0, 1);
      assert.equal(outputs.length, output.length);
      for (const [at, value] of output.entries()) assert.ok(Math.abs(value - (outputs[at] as number)) < CLOSE);
    }
  });

  test('the same seed, table and settings make the same model', async () => {
    const [one, other] = [await train(), await train()];
    const first = await scoreTable(one.package, table, 0, rows);
    const second = await scoreTable(other.package, table, 0, rows);
    assert.deepEqual([...first.outputs], [...second.outputs]);
  });

  test('the newest rows, which judge the model, do not change it', async () => {
    const split = heldOutFrom(rows);
    const settings = trainer.settings.parse(options.settings ?? {});
    const changed = { ...table, labels: table.labels.map((label, row) => (row < split ? label : 0)) };
    const other = await trainer.train({ table: changed, settings, seed: 7, report: () => {} });
    const first = await scoreTable((await train()).package, table, 0, rows);
    const second = await scoreTable(other.package, table, 0, rows);
    assert.deepEqual([...first.outputs], [...second.outputs]);
  });

  return cases;
}
