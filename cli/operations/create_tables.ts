import { featureTable, predictionTable } from '#connectors/dynamodb/tables';
import { openDynamoDb } from '#connectors/dynamodb/when_used';
import { OnlineStoreError } from '#feature_store/errors';
import { PlatformError } from '#kernel/errors';
import { loadProject } from '../project/project.ts';
import { print } from '../terminal/print.ts';

/** `headwater online-stores create`: the tables that the online store needs; only DynamoDB has any. */
export async function createTables({ json }: { readonly json: boolean }): Promise<void> {
  const { onlineStore } = await loadProject();
  if (onlineStore.kind !== 'dynamodb') {
    print(json ? '[]' : `onlineStore.kind is ${onlineStore.kind}: it has no tables to create`);
    return;
  }
  const { tablePrefix, predictions, region } = onlineStore;
  const client = await openDynamoDb(onlineStore);
  try {
    const specs = [featureTable(tablePrefix), ...(predictions === undefined ? [] : [predictionTable(tablePrefix)])];
    const tables = [];
    for (const spec of specs) tables.push(await client.createTable(spec));
    if (json) print(JSON.stringify(tables.map(({ name, isNew }) => ({ table: name, created: isNew }))));
    else for (const { name, isNew } of tables) print(`${name}: ${isNew ? 'created' : 'exists, not changed'}`);
  } catch (error) {
    throw error instanceof PlatformError
      ? error
      : new OnlineStoreError(`create its tables in ${region}`, error, 'target');
  } finally {
    client.close();
  }
}
