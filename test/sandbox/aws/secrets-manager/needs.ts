import type { Need } from '../service.ts';
import type { Secret } from './secret.ts';

interface Account {
  readonly lookUp: (secretId: string) => Secret | undefined;
  readonly accountId: string;
  readonly region: string;
}

/** As much of any request as IAM asks about. */
interface Request {
  readonly SecretId?: string;
  readonly Name?: string;
  readonly KmsKeyId?: string;
  readonly ClientRequestToken?: string;
  readonly VersionId?: string;
  readonly VersionStage?: string;
  readonly SecretString?: string;
  readonly SecretBinary?: string;
  readonly RotationLambdaARN?: string;
}

/**
 * Service Authorization Reference, "Actions, resources, and condition keys for AWS Secrets Manager"; for keys the
 * Secrets Manager User Guide, "Secret encryption and decryption".
 */
export function needsOf(operation: string, input: unknown, account: Account): readonly Need[] {
  const request = (input ?? {}) as Request;
  const action = `secretsmanager:${operation}`;
  const { SecretId: secretId } = request;
  if (operation === 'CreateSecret') {
    const resource = arnIn(account, `${request.Name ?? ''}-??????`);
    const own: Need = { action, resource, context: { 'secretsmanager:Name': request.Name } };
    return [own, ...(hasValue(request) ? keyUse('GenerateDataKey', request.KmsKeyId, resource, request, account) : [])];
  }
  if (secretId === undefined) return [{ action, resource: '*' }];

  const secret = account.lookUp(secretId);
  // Of a secret that is not there, the ARN is as good as the request makes it.
  const resource = secret?.arn ?? (secretId.startsWith('arn:') ? secretId : arnIn(account, secretId));
  const tags = Object.fromEntries((secret?.tags ?? []).map(({ Key, Value }) => [`aws:ResourceTag/${Key}`, Value]));
  const own: Need = {
    action,
    resource,
    context: {
      ...tags,
      'secretsmanager:SecretId': resource,
      'secretsmanager:resource/AllowRotationLambdaArn': secret?.rotation?.functionArn,
      'secretsmanager:VersionId': request.VersionId,
      'secretsmanager:VersionStage': request.VersionStage,
    },
  };
  return [own, ...keyUses(operation, request, secret, account), ...invocation(operation, request)];
}

function keyUses(operation: string, request: Request, secret: Secret | undefined, account: Account): readonly Need[] {
  if (secret === undefined) return [];
  const key = request.KmsKeyId ?? secret.kmsKeyId;
  switch (operation) {
    case 'GetSecretValue':
      return keyUse('Decrypt', secret.kmsKeyId, secret.arn, request, account);
    case 'PutSecretValue':
    case 'UpdateSecret': {
      if (!hasValue(request)) return [];
      // A version that is there is decrypted, to see whether this is the same value.
      const isRepeated = secret.versions.some(({ id, value }) => id === request.ClientRequestToken && value);
      return keyUse(isRepeated ? 'Decrypt' : 'GenerateDataKey', key, secret.arn, request, account);
    }
    default:
      return [];
  }
}

/** With the key of AWS itself, whoever may use Secrets Manager in the account may use the key. */
function keyUse(
  operation: 'Decrypt' | 'GenerateDataKey',
  key: string | undefined,
  secretArn: string,
  { ClientRequestToken, VersionId }: Request,
  { accountId, region }: Account,
): readonly Need[] {
  if (!key) return [];
  return [
    {
      action: `kms:${operation}`,
      resource: key,
      context: {
        'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
        'kms:CallerAccount': accountId,
        'kms:EncryptionContext:SecretARN': secretArn,
        'kms:EncryptionContext:SecretVersionId': ClientRequestToken ?? VersionId,
        'kms:EncryptionContextKeys': ['SecretARN', 'SecretVersionId'],
      },
      refusal: 'Access to KMS is not allowed',
    },
  ];
}

/** RotateSecret API: "you must have permission to invoke the Lambda function". */
function invocation(operation: string, { RotationLambdaARN }: Request): readonly Need[] {
  return operation === 'RotateSecret' && RotationLambdaARN
    ? [{ action: 'lambda:InvokeFunction', resource: RotationLambdaARN }]
    : [];
}

function hasValue({ SecretString, SecretBinary }: Request): boolean {
  return SecretString !== undefined || SecretBinary !== undefined;
}

function arnIn({ accountId, region }: Account, name: string): string {
  return `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}`;
}
