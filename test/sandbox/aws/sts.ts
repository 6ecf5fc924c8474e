import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { handleWith, operation } from './operation.ts';
import { AwsError, type AwsService } from './service.ts';

/** Temporary credentials of a role session, as SDK clients take them. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface RoleSession {
  readonly credentials: Credentials;
  readonly roleName: string;
  readonly roleArn: string;
  /** `arn:aws:sts::…:assumed-role/ROLE/SESSION` */
  readonly arn: string;
  /** `AROA…:SESSION` */
  readonly userId: string;
  readonly expiresAt: Date;
}

export interface Sts extends AwsService {
  /** A new session of the role, which exists as soon as it is named: trust policies are not simulated. */
  assume(roleName: string, sessionName: string): RoleSession;
  /** Who signs with this access key, if the sandbox gave it out. */
  session(accessKeyId: string): RoleSession | undefined;
}

const DEFAULT_SECONDS = 3_600;

/** Simulated STS: every role of any account can be assumed, and only credentials from here are known. */
export function createSts(options: { readonly accountId: string; readonly now: () => number }): Sts {
  const { accountId, now } = options;
  const sessions = new Map<string, RoleSession>();

  function assume(roleName: string, sessionName: string, seconds = DEFAULT_SECONDS, account = accountId): RoleSession {
    const credentials = {
      accessKeyId: `ASIA${randomId()}`,
      secretAccessKey: randomBytes(30).toString('base64'),
      sessionToken: randomBytes(96).toString('base64'),
    };
    const session = {
      credentials,
      roleName,
      roleArn: `arn:aws:iam::${account}:role/${roleName}`,
      arn: `arn:aws:sts::${account}:assumed-role/${roleName}/${sessionName}`,
      userId: `AROA${randomId()}:${sessionName}`,
      expiresAt: new Date(now() + seconds * 1_000),
    };
    sessions.set(credentials.accessKeyId, session);
    return session;
  }

  const operations = {
    GetCallerIdentity: operation(z.object({}), (_input, { accessKeyId }) => {
      const session = sessions.get(accessKeyId);
      if (!session)
        throw new AwsError('InvalidClientTokenId', 'The security token included in the request is invalid.', 403);
      return { UserId: session.userId, Account: accountId, Arn: session.arn };
    }),
    AssumeRole: operation(
      z.object({
        RoleArn: z.string().regex(/^arn:aws:iam::\d{12}:role\/.+$/),
        RoleSessionName: z.string().regex(/^[\w+=,.@-]{2,64}$/),
        ExternalId: z.string().optional(),
        DurationSeconds: z.coerce.number().int().min(900).max(43_200).default(DEFAULT_SECONDS),
      }),
      ({ RoleArn, RoleSessionName, DurationSeconds }) => {
        const roleName = RoleArn.split('/').at(-1) ?? '';
        const account = RoleArn.split(':')[4];
        const { credentials, arn, userId, expiresAt } = assume(roleName, RoleSessionName, DurationSeconds, account);
        return {
          Credentials: {
            AccessKeyId: credentials.accessKeyId,
            SecretAccessKey: credentials.secretAccessKey,
            SessionToken: credentials.sessionToken,
            Expiration: expiresAt,
          },
          AssumedRoleUser: { Arn: arn, AssumedRoleId: userId },
        };
      },
      'ValidationError',
    ),
  };

  return {
    name: 'sts',
    protocols: [{ kind: 'query', xmlNamespace: 'https://sts.amazonaws.com/doc/2011-06-15/' }],
    handle: handleWith(operations),
    assume,
    session: (accessKeyId) => sessions.get(accessKeyId),
  };
}

/** Sixteen characters, as in AWS's unique ids. */
function randomId(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from(randomBytes(16), (byte) => alphabet[byte % alphabet.length]).join('');
}
