import type { RotatedSecretProps, SecretReference, TaggedSecrets } from './config.ts';

/** Where secrets are, as their ARNs say it. Each may be filled in by CloudFormation alone. */
export interface Place {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
}

/**
 * What IAM and KMS match a secret's ARN with. Secrets Manager ends every ARN with a hyphen and six characters of its
 * own, so `name-??????` is this name and no other: not one that it begins, and not one that begins it. It is also the
 * secret of that name that is made after this one was deleted, whose six characters nobody knows yet.
 */
export const arnPattern = ({ arn, name }: SecretReference, place: Place): string =>
  arn ?? `${anySecret(place)}${name}-??????`;

/** IAM has no way to name secrets by a tag but in a condition: the resource is then every secret of the place. */
export const taggedPattern = (place: Place): string => `${anySecret(place)}*`;

const anySecret = ({ partition, region, account }: Place) =>
  `arn:${partition}:secretsmanager:${region}:${account}:secret:`;

/** @returns undefined when the ARN is one that CloudFormation fills in */
export const nameOf = ({ arn, name }: SecretReference): string | undefined =>
  name ?? /:secret:(.+)-[A-Za-z0-9]{6}$/.exec(arn)?.[1];

export const isTagged = <T extends RotatedSecretProps>(secret: T): secret is T & TaggedSecrets =>
  secret.tag !== undefined;
