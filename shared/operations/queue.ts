/** A queue that hands a message out later, or again. Delivery is at least once and unordered. */
export interface DelayedQueue {
  /** @param delaySeconds 0 to 900, SQS's own limit */
  send(body: string, delaySeconds: number): Promise<void>;
  /**
   * Hands a message that failed out again after this time, instead of when its visibility time-out ends.
   * @param receiptHandle of the delivery that failed
   */
  bringBack(receiptHandle: string, delaySeconds: number): Promise<void>;
}
