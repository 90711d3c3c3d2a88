import { writeFile } from 'node:fs/promises';
import { register } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { definitionSet } from '#feature_store/definitions/definition_set';
import { type FeatureService, featureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OnDemandView } from '#feature_store/definitions/on_demand';
import { messageOf } from '#kernel/errors';
import type { SourceFolders } from '../project/source_loader.ts';

// A process of `headwater check --against`: loads a project's catalog from its sources, and writes its definitions as data. They are described by this code, whichever
// version of it the project has, so that two versions of a project are compared by one measure.

interface Catalog {
  readonly VIEWS: readonly FeatureView[];
  readonly ON_DEMAND_VIEWS?: readonly OnDemandView[];
  readonly SERVICES?: readonly FeatureService[];
}

const [project = '', catalogFile = '', packages = '', output = ''] = process.argv.slice(2);
try {
  const loader = `../project/source_loader${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`;
  const folders: SourceFolders = { project, packages };
  register(loader, { parentURL: import.meta.url, data: folders });
  const catalog = (await import(pathToFileURL(join(project, catalogFile)).href)) as Catalog;
  if (!Array.isArray(catalog.VIEWS)) throw new TypeError('it exports no VIEWS');
  const services = (catalog.SERVICES ?? []).map(({ name, version, owner, description, unknownEntities, ...rest }) => {
    const { features } = rest as unknown as Pick<Parameters<typeof featureService>[0], 'features'>;
    return featureService({ name, version, owner, description, unknownEntities, features });
  });
  const set = definitionSet({ views: catalog.VIEWS, onDemand: catalog.ON_DEMAND_VIEWS ?? [], services });
  await writeFile(output, JSON.stringify(set));
} catch (error) {
  process.stderr.write(messageOf(error));
  process.exitCode = 1;
}
