/** A queue that hands a message back later. Delivery is at least once and unordered. */
export interface DelayedQueue {
  /** @param delaySeconds 0 to 900, SQS's own limit */
  send(body: string, delaySeconds: number): Promise<void>;
}
