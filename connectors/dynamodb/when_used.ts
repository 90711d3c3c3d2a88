import { importOptional } from '#kernel/optional_package';
import type { DynamoDbConfig } from './config.ts';
import type { DynamoDb } from './dynamodb.ts';

const SDK = { packages: ['@aws-sdk/client-dynamodb', '@smithy/node-http-handler'], use: 'onlineStore.kind dynamodb' };

/** Loads DynamoDB's SDK and returns a client. @throws {@link PackageMissingError} where the SDK is not installed */
export const openDynamoDb = async (config: DynamoDbConfig): Promise<DynamoDb> => {
  const { DynamoDb } = await importOptional(SDK, () => import('./dynamodb.ts'));
  return new DynamoDb(config);
};
