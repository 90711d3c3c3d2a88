import { type ContractTerm, checkContract } from '#feature_store/contracts/check_contract';
import { keepInStore } from '../object_store/object_store.ts';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printJsonArray } from '../terminal/print.ts';

export interface CheckContractsOptions {
  readonly view: readonly string[];
  readonly json: boolean;
}

/** `headwater features check`: a line for each term of a contract. @throws {@link CommandFailedError} with every term that is broken */
export async function checkContracts({ view, json }: CheckContractsOptions): Promise<void> {
  const project = await loadProject();
  const views = view.length === 0 ? definitionsOf(project).views : view.map((id) => viewOf(project.catalog, id));
  const terms = await withOffline(project, async (offline) => {
    const found = [];
    for (const each of views) found.push(...(await checkContract(offline, each, Date.now())));
    return found;
  });
  await keepInStore(project, (store) => store.keepContracts(terms));
  if (json) printJsonArray(terms);
  else for (const term of terms) print(lineOf(term));
  if (terms.length === 0) process.stderr.write('no view has a contract\n');
  const broken = terms.filter(({ holds }) => !holds);
  if (broken.length > 0) throw new CommandFailedError(`broken: ${broken.map(lineOf).join('; ')}`);
}

function lineOf({ view, term, feature, limit, found }: ContractTerm): string {
  const of = term === 'freshness' ? hours : percent;
  const what = feature === undefined ? term : `${term} ${feature}`;
  const value = found === null ? 'no rows' : of(found);
  return `${view} ${what}: ${value}, ${of(limit)} at most`;
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
const hours = (ms: number): string => `${Number((ms / 3_600_000).toPrecision(3))} h`;
