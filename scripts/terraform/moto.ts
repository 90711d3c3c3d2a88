import { spawn } from 'node:child_process';
import { once as onceEvent } from 'node:events';
import { join } from 'node:path';
import { CreateTableCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { CreateRoleCommand, CreateUserCommand, IAMClient, PutRolePolicyCommand } from '@aws-sdk/client-iam';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutBucketEncryptionCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { CreateTopicCommand, PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { freePort } from '#connectors/http/free_port';
import type { PlannedResource } from './plan.ts';
import { ACCOUNT } from './tools.ts';

// moto, an emulator of AWS's APIs, holds what a plan makes of S3, DynamoDB, SNS and IAM, and enforces the policies of IAM.

const REGION = 'eu-central-1';
const ANYONE = { accessKeyId: 'test', secretAccessKey: 'test' };

export interface Moto {
  readonly endpoint: string;
  /** For OpenTofu's own calls. */
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

export async function startMoto(commands: string): Promise<Moto> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = spawn(join(commands, 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], {
    ...{ stdio: 'ignore', env: { ...process.env, MOTO_ACCOUNT_ID: ACCOUNT } },
  });
  const exited = onceEvent(child, 'exit');
  const deadline = Date.now() + 60_000;
  while (
    !(await fetch(`${endpoint}/moto-api/data.json`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (Date.now() > deadline) throw new Error(`moto does not answer on ${endpoint} after 60 s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return {
    endpoint,
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: ANYONE.accessKeyId,
      AWS_SECRET_ACCESS_KEY: ANYONE.secretAccessKey,
      AWS_REGION: REGION,
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    stop: async () => {
      child.kill();
      await exited;
    },
  };
}

type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

export const clientsOf = ({ endpoint }: Moto, credentials: Credentials = ANYONE) => {
  const options = { endpoint, region: REGION, credentials };
  return {
    s3: new S3Client({ ...options, forcePathStyle: true }),
    iam: new IAMClient(options),
    sts: new STSClient(options),
    sns: new SNSClient(options),
    dynamodb: new DynamoDBClient(options),
  };
};
export type Clients = ReturnType<typeof clientsOf>;

type Values = Readonly<Record<string, unknown>>;
const firstOf = (values: Values, name: string): Values => (values[name] as readonly Values[])[0] as Values;

/** What of a plan moto holds. Policies of buckets are left out: moto denies a request where a Deny has a condition that it does not meet. */
const MAKERS: Readonly<Record<string, (clients: Clients, values: Values) => Promise<unknown>>> = {
  aws_s3_bucket: ({ s3 }, { bucket }) =>
    s3.send(
      new CreateBucketCommand({ Bucket: String(bucket), CreateBucketConfiguration: { LocationConstraint: REGION } }),
    ),
  aws_s3_bucket_versioning: ({ s3 }, values) =>
    s3.send(
      new PutBucketVersioningCommand({
        Bucket: String(values.bucket),
        VersioningConfiguration: { Status: firstOf(values, 'versioning_configuration').status as 'Enabled' },
      }),
    ),
  aws_s3_bucket_public_access_block: ({ s3 }, values) =>
    s3.send(
      new PutPublicAccessBlockCommand({
        Bucket: String(values.bucket),
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: values.block_public_acls === true,
          BlockPublicPolicy: values.block_public_policy === true,
          IgnorePublicAcls: values.ignore_public_acls === true,
          RestrictPublicBuckets: values.restrict_public_buckets === true,
        },
      }),
    ),
  aws_s3_bucket_server_side_encryption_configuration: ({ s3 }, values) => {
    const rule = firstOf(firstOf(values, 'rule'), 'apply_server_side_encryption_by_default');
    const key = rule.kms_master_key_id;
    return s3.send(
      new PutBucketEncryptionCommand({
        Bucket: String(values.bucket),
        ServerSideEncryptionConfiguration: {
          Rules: [
            {
              ApplyServerSideEncryptionByDefault: {
                SSEAlgorithm: rule.sse_algorithm as 'aws:kms' | 'AES256',
                ...(typeof key === 'string' ? { KMSMasterKeyID: key } : {}),
              },
            },
          ],
        },
      }),
    );
  },
  aws_dynamodb_table: ({ dynamodb }, { name, hash_key: key, attribute }) =>
    dynamodb.send(
      new CreateTableCommand({
        TableName: String(name),
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [{ AttributeName: String(key), KeyType: 'HASH' }],
        AttributeDefinitions: (attribute as { name: string; type: 'S' }[]).map((each) => ({
          ...{ AttributeName: each.name, AttributeType: each.type },
        })),
      }),
    ),
  aws_sns_topic: ({ sns }, { name }) => sns.send(new CreateTopicCommand({ Name: String(name) })),
  aws_iam_role: ({ iam }, { name, assume_role_policy: document }) =>
    iam.send(new CreateRoleCommand({ RoleName: String(name), AssumeRolePolicyDocument: String(document) })),
  aws_iam_role_policy: ({ iam }, { name, role, policy }) =>
    iam.send(
      new PutRolePolicyCommand({ RoleName: String(role), PolicyName: String(name), PolicyDocument: String(policy) }),
    ),
};

/** Makes what moto holds, in an order that has buckets before their settings and roles before their policies. @returns how many */
export async function makeOn(moto: Moto, resources: readonly PlannedResource[]): Promise<number> {
  const clients = clientsOf(moto);
  let count = 0;
  for (const [type, make] of Object.entries(MAKERS)) {
    for (const { values } of resources.filter((resource) => resource.type === type)) {
      await make(clients, values);
      count += 1;
    }
  }
  return count;
}

/** Clients with a role's credentials. */
export async function assume(moto: Moto, role: string): Promise<Clients> {
  const { Credentials: found } = await clientsOf(moto).sts.send(
    new AssumeRoleCommand({ RoleArn: `arn:aws:iam::${ACCOUNT}:role/${role}`, RoleSessionName: 'check' }),
  );
  if (found?.AccessKeyId === undefined || found.SecretAccessKey === undefined)
    throw new Error(`moto gives no credentials for ${role}`);
  return clientsOf(moto, {
    accessKeyId: found.AccessKeyId,
    secretAccessKey: found.SecretAccessKey,
    ...(found.SessionToken === undefined ? {} : { sessionToken: found.SessionToken }),
  });
}

/** From now on, policies decide. */
export async function enforce({ endpoint }: Moto): Promise<void> {
  const answer = await fetch(`${endpoint}/moto-api/reset-auth`, { method: 'POST', body: '0' });
  if (!answer.ok) throw new Error(`moto does not enforce policies: ${answer.status}`);
}

/** Writes the item by which OpenTofu locks a state. */
export const lockState = (moto: Moto, table: string, id: string): Promise<unknown> =>
  clientsOf(moto).dynamodb.send(
    new PutItemCommand({
      TableName: table,
      Item: {
        LockID: { S: id },
        Info: { S: JSON.stringify({ ID: 'held', Operation: 'OperationTypeApply', Who: 'another run' }) },
      },
    }),
  );

/** Things that a role tries. */
export const ATTEMPTS = {
  put: ({ s3 }: Clients, bucket: string, key = 'a/b') =>
    s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'x' })),
  get: ({ s3 }: Clients, bucket: string) => s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'a/object' })),
  delete: ({ s3 }: Clients, bucket: string) => s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'a/b' })),
  list: ({ s3 }: Clients, bucket: string) => s3.send(new ListObjectsV2Command({ Bucket: bucket })),
  publish: ({ sns }: Clients, topic: string) =>
    sns.send(new PublishCommand({ TopicArn: `arn:aws:sns:${REGION}:${ACCOUNT}:${topic}`, Message: 'x' })),
  'create user': ({ iam }: Clients, name: string) => iam.send(new CreateUserCommand({ UserName: name })),
} as const;
