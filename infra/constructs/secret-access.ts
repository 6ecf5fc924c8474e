import { Stack } from 'aws-cdk-lib';
import type { RotatedSecret } from '../config.ts';
import type { ServiceFunction } from './service-function.ts';

/**
 * What rotation and retire may do with secrets and see of their databases: each statement names complete ARNs.
 *
 * @param rotationFunctionArn of the function that rotates them: the rights on the credentials themselves hold only
 *   while Secrets Manager calls that function for them (Secrets Manager User Guide, "Lambda function permissions for
 *   rotation"), so a secret that moves to another rotation takes them along.
 * @param write whether it stores and labels versions as well
 */
export function allowSecrets(
  to: ServiceFunction,
  secrets: readonly RotatedSecret[],
  rotationFunctionArn: string,
  { write }: { readonly write: boolean },
): void {
  const { region } = Stack.of(to);
  to.allow(
    write ? 'RotateTheSecrets' : 'ReadTheSecrets',
    [
      'secretsmanager:DescribeSecret',
      'secretsmanager:GetSecretValue',
      ...(write ? ['secretsmanager:PutSecretValue', 'secretsmanager:UpdateSecretVersionStage'] : []),
    ],
    secrets.map(({ arn }) => arn),
    { StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': rotationFunctionArn } },
  );

  const admins = unique(secrets.flatMap(({ adminArn }) => adminArn ?? []));
  if (admins.length > 0)
    to.allow('ReadTheAdministrators', ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'], admins);

  const databases = unique(secrets.flatMap(({ databaseArns }) => databaseArns ?? []));
  const instances = databases.filter((arn) => arn.includes(':db:'));
  if (instances.length > 0) to.allow('FindTheDatabaseInstances', ['rds:DescribeDBInstances'], instances);
  const clusters = databases.filter((arn) => arn.includes(':cluster:'));
  if (clusters.length > 0) to.allow('FindTheDatabaseClusters', ['rds:DescribeDBClusters'], clusters);

  const keys = unique(secrets.flatMap(({ kmsKeyArns }) => kmsKeyArns ?? []));
  if (keys.length > 0)
    to.allow('UseTheirKeys', write ? ['kms:Decrypt', 'kms:GenerateDataKey'] : ['kms:Decrypt'], keys, {
      StringEquals: {
        'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
        // Secrets Manager puts the secret's ARN into every call's encryption context: the key then opens these alone.
        'kms:EncryptionContext:SecretARN': unique([...secrets.map(({ arn }) => arn), ...admins]),
      },
    });
}

const unique = (values: readonly string[]) => [...new Set(values)];
