import { CURRENT, type SecretDescription, versionWithStage } from '../../../../shared/secrets/port.ts';

/** The versionId of the n-th version. */
export function versionOf(number: number): string {
  return `${String(number).padStart(8, '0')}-0000-4000-8000-000000000000`;
}

/** AWS's event about the current version, as EventBridge puts it on the queue. */
export function labelUpdated(
  secret: Pick<SecretDescription, 'arn' | 'name' | 'stages'>,
  { time = '2026-11-23T10:00:00Z' }: { readonly time?: string } = {},
): string {
  const [, , , region, account] = secret.arn.split(':');
  return JSON.stringify({
    version: '0',
    id: '6a7e8feb-b491-4cf7-a9f1-bf3703467718',
    'detail-type': 'Secret Label Updated',
    source: 'aws.secretsmanager',
    account,
    time,
    region,
    resources: [secret.arn],
    detail: {
      name: secret.name,
      labelUpdated: CURRENT,
      versionId: versionWithStage({ stages: secret.stages } as SecretDescription, CURRENT),
    },
  });
}
