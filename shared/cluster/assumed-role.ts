import type { STSClient } from '@aws-sdk/client-sts';
import { AWS_CLIENT } from '../operations/aws-client.ts';
import { awsFailure } from '../operations/aws-failure.ts';
import { RekeyError } from '../operations/errors.ts';
import type { SigningCredentials } from './eks-token.ts';

/** A role in the account that a cluster belongs to, which our own role may assume. */
export interface ForeignRole {
  readonly roleArn: string;
  /** What the role's trust policy asks for besides, if anything. */
  readonly externalId?: string | undefined;
}

/** In the other account's CloudTrail it stands behind the role's name. */
const SESSION_NAME = 'rekey';

/**
 * Credentials of a role in another account. The client that gets this as its `credentials` remembers them, and asks
 * again shortly before they end.
 * @throws RekeyError CLUSTER_ACCESS_DENIED, CLUSTER_UNREACHABLE
 */
export function assumedRole(
  cluster: string,
  { roleArn, externalId }: ForeignRole,
  client: () => Promise<Pick<STSClient, 'send'>> = newClient,
): () => Promise<SigningCredentials> {
  return async () => {
    // Most deployments have all clusters in one account, and start without this client.
    const { AssumeRoleCommand } = await import('@aws-sdk/client-sts');
    const command = new AssumeRoleCommand({
      RoleArn: roleArn,
      RoleSessionName: SESSION_NAME,
      ExternalId: externalId,
    });
    try {
      const { Credentials: session } = await (await client()).send(command);
      return {
        accessKeyId: session?.AccessKeyId ?? '',
        secretAccessKey: session?.SecretAccessKey ?? '',
        ...(session?.SessionToken && { sessionToken: session.SessionToken }),
        ...(session?.Expiration && { expiration: session.Expiration }),
      };
    } catch (error) {
      const { kind, said, action } = awsFailure(error);
      const what = `cluster "${cluster}": sts:AssumeRole of ${roleArn} failed: ${said}`;
      if (kind === 'unavailable' || kind === 'foreign') throw new RekeyError('CLUSTER_UNREACHABLE', what, action);
      throw new RekeyError(
        'CLUSTER_ACCESS_DENIED',
        what,
        action ??
          `Let the function's role assume ${roleArn}: a statement of its own for sts:AssumeRole, and the trust policy of that role (docs/permissions.md).`,
      );
    }
  };
}

async function newClient(): Promise<STSClient> {
  const sts = await import('@aws-sdk/client-sts');
  return new sts.STSClient(AWS_CLIENT);
}
