import { Stack } from 'aws-cdk-lib';
import type { RotatedSecret } from '../config.ts';
import type { ServiceFunction } from './service-function.ts';

/**
 * What rotation and retire may do with secrets and see of their databases: each statement names complete ARNs.
 *
 * @param rotationFunctionArns of the functions that rotate them: the rights on the credentials themselves hold only
 *   while Secrets Manager calls one of those for them (Secrets Manager User Guide, "Lambda function permissions for
 *   rotation"), so a secret that moves to another rotation takes them along.
 * @param writes `all`: it stores and labels versions; `standby`: it stores the next login of the second user of a pair
 */
export function allowSecrets(
  to: ServiceFunction,
  secrets: readonly RotatedSecret[],
  rotationFunctionArns: readonly string[],
  { writes }: { readonly writes: 'all' | 'standby' },
): void {
  const { region } = Stack.of(to);
  const whileRotated = {
    StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': oneOrMore(rotationFunctionArns) },
  };
  const read = ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'];
  const label = ['secretsmanager:PutSecretValue', 'secretsmanager:UpdateSecretVersionStage'];
  const arns = secrets.map(({ arn }) => arn);
  if (writes === 'all') to.allow('RotateTheSecrets', [...read, ...label], arns, whileRotated);
  else to.allow('ReadTheSecrets', read, arns, whileRotated);
  const pairs = secrets.filter(({ userPair }) => userPair).map(({ arn }) => arn);
  if (writes === 'standby' && pairs.length > 0)
    to.allow('StoreTheNextLogin', ['secretsmanager:PutSecretValue'], pairs, whileRotated);

  const admins = unique(secrets.flatMap(({ adminArn }) => adminArn ?? []));
  if (admins.length > 0)
    to.allow('ReadTheAdministrators', ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'], admins);

  const databases = unique(secrets.flatMap(({ databaseArns }) => databaseArns ?? []));
  const instances = databases.filter((arn) => arn.includes(':db:'));
  if (instances.length > 0) to.allow('FindTheDatabaseInstances', ['rds:DescribeDBInstances'], instances);
  const clusters = databases.filter((arn) => arn.includes(':cluster:'));
  if (clusters.length > 0) to.allow('FindTheDatabaseClusters', ['rds:DescribeDBClusters'], clusters);

  const stores = writes === 'all' || pairs.length > 0;
  const keys = unique(secrets.flatMap(({ kmsKeyArns }) => kmsKeyArns ?? []));
  if (keys.length > 0)
    to.allow('UseTheirKeys', stores ? ['kms:Decrypt', 'kms:GenerateDataKey'] : ['kms:Decrypt'], keys, {
      StringEquals: {
        'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
        // Secrets Manager puts the secret's ARN into every call's encryption context: the key then opens these alone.
        'kms:EncryptionContext:SecretARN': unique([...secrets.map(({ arn }) => arn), ...admins]),
      },
    });
}

/** As CloudFormation prints it: one value needs no list. */
const oneOrMore = (values: readonly string[]) => (values.length === 1 ? values[0] : values);

const unique = (values: readonly string[]) => [...new Set(values)];
