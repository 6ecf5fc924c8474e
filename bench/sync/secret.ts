/** The secret whose consumers are looked for among everything else. */
export const SECRET = {
  arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/orders-Ab1Cd2',
  name: 'shop/orders',
} as const;
