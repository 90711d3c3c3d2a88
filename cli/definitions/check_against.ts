import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  changesOf,
  definitionsOfSet,
  describeChange,
  type PlannedChange,
  servicesConcerned,
} from '#feature_store/definitions/sets/definition_plan';
import type { DefinitionSet } from '#feature_store/definitions/sets/definition_set';
import { projectRoot } from '#kernel/project_root';
import { projectFolder } from '../project/loading/find_project.ts';
import { loadProject } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { withReference } from './git_reference.ts';
import { definitionsOfFolder } from './load_definitions.ts';
import { type ModelInUse, modelsInUse, problemsOfModel } from './model_definitions.ts';

export interface CheckAgainstOptions {
  readonly against: string;
  readonly definitions?: string;
  readonly json: boolean;
}

interface BrokenModel {
  readonly model: string;
  readonly problems: readonly string[];
}

/**
 * `headwater check --against REF`: whether what the working tree changes in the definitions since a commit breaks a model in use. Exit code 1 when it does: for pull requests. A model
 * that REF breaks already is not counted.
 */
export async function checkAgainst({ against, json }: CheckAgainstOptions): Promise<void> {
  const folder = projectFolder();
  const packages = existsSync(join(folder, 'node_modules')) ? folder : projectRoot;
  const before = await withReference(folder, against, (checkout) => definitionsOfFolder(checkout, packages));
  const now = await definitionsOfFolder(folder, packages);
  const models = await modelsInUse(await loadProject());
  const known = definitionsOfSet(before);
  const changes = changesOf({ inUse: known, applied: known }, definitionsOfSet(now));
  const broken = brokenModels(models, before, now);
  if (json) {
    const lines = changes.map((change) => ({
      ...{ kind: change.kind, id: change.id, change: change.change, breaking: change.isBreaking },
      ...{ differences: describeChange(change), services: concerned(change, before, now) },
    }));
    print(
      JSON.stringify({
        against,
        passed: broken.length === 0,
        changes: lines,
        models: models.map(({ id }) => id),
        broken,
      }),
    );
  } else for (const line of describe(against, changes, models, broken)) print(line);
  if (broken.length > 0) process.exitCode = 1;
}

const concerned = (change: PlannedChange, before: DefinitionSet, now: DefinitionSet): readonly string[] =>
  servicesConcerned(change, [definitionsOfSet(before), definitionsOfSet(now)]);

const brokenModels = (
  models: readonly ModelInUse[],
  before: DefinitionSet,
  now: DefinitionSet,
): readonly BrokenModel[] =>
  models.flatMap((model) => {
    const problems = problemsOfModel(model, before.services, now.services);
    return problems.length === 0 ? [] : [{ model: model.id, problems }];
  });

function describe(
  against: string,
  changes: readonly PlannedChange[],
  models: readonly ModelInUse[],
  broken: readonly BrokenModel[],
): readonly string[] {
  const lines = changes.flatMap((change) => [
    `${change.id}: ${change.change}${change.isBreaking ? ', breaking for what reads it' : ''}`,
    ...describeChange(change).map((difference) => `    ${difference}`),
  ]);
  for (const { model, problems } of broken) {
    lines.push(`FAIL  model ${model} was trained on other definitions:`);
    for (const problem of problems) lines.push(`    ${problem}`);
  }
  const count = `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`;
  const names = models.map(({ id }) => id).join(', ');
  if (broken.length > 0)
    lines.push(
      'make a new version of the view or service beside the old one, or train the models again before this is merged',
    );
  else if (models.length === 0) lines.push(`PASS  ${count} since ${against}; the registry has no model in use`);
  else lines.push(`PASS  ${count} since ${against}, none that breaks ${names}`);
  return lines;
}
