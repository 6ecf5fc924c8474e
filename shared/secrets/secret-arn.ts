export interface SecretArn {
  readonly region: string;
  readonly accountId: string;
  /** The secret's name, without the six characters. */
  readonly name: string;
}

/**
 * A whole secret ARN, with the six characters that Secrets Manager adds to the name. Names of secrets that another
 * service makes have a `!`: `rds!db-…`.
 */
const PATTERN = /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]{1,40}):(\d{12}):secret:([\w/+=.@!-]{1,512})-[A-Za-z0-9]{6}$/;

/** Undefined for anything else: a name, or an ARN without its suffix. */
export function parseSecretArn(text: string): SecretArn | undefined {
  const [, region = '', accountId = '', name = ''] = PATTERN.exec(text) ?? [];
  return name === '' ? undefined : { region, accountId, name };
}

/** The ARN of the replica in another Region: only that part differs (Secrets Manager User Guide, "Replicate"). */
export function inRegion(arn: string, region: string): string {
  return arn.split(':').with(3, region).join(':');
}
