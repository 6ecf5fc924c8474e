import type { Environment } from '../config.ts';

/** Small, without a VPC: databases and the Kubernetes API have public endpoints, and nobody is woken at night. */
export const environment: Environment = {
  name: 'staging',
  account: '111122223333',
  region: 'eu-west-1',
  rotated: [
    { name: 'staging/orders', engine: 'postgres', schedule: 'cron(0 3 ? * MON-FRI *)', window: '2h' },
    { name: 'staging/basket', engine: 'redis', schedule: 'cron(0 3 ? * MON-FRI *)', window: '2h' },
  ],
  clusters: [{ name: 'staging', region: 'eu-west-1', createAccessEntries: true }],
  told: { emails: ['platform@example.com'] },
  alarms: 'off',
  logLevel: 'DEBUG',
  logRetentionDays: 30,
  limits: { reserveConcurrency: false },
};
