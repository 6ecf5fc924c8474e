import type { User } from '../kubernetes/api/authorization.ts';
import { startWebhook, type Webhook } from './webhook.ts';

/** The webhook that an API server asks whose a token is (authentication.k8s.io/v1 TokenReview), as EKS has one. */
export async function startTokenReview(authenticate: (token: string) => User | undefined): Promise<Webhook> {
  return await startWebhook(({ spec }) => {
    const user = authenticate(spec.token);
    return { status: user ? { authenticated: true, user } : { authenticated: false } };
  });
}
