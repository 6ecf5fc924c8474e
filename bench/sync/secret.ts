/** The secret whose consumers are looked for among everything else. */
export const SECRET = {
  arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/orders-Ab1Cd2',
  name: 'shop/orders',
} as const;

/** The Deployment that uses the secret, as the nth one. */
export const consumerNamed = (n: number): string => `orders-${n}`;
export const isConsumer = (deployment: string): boolean => deployment.startsWith('orders-');
/** The first of them has a new version before the others. */
export const CANARY: string = consumerNamed(0);
