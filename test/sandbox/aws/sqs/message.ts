import { createHash } from 'node:crypto';
import { z } from 'zod';
import { AwsError } from '../service.ts';

/** SQS Developer Guide, "Amazon SQS message quotas": since August 2025, with its attributes. */
export const MAX_MESSAGE_BYTES = 1_048_576;
const MAX_ATTRIBUTES = 10;

export const messageAttributeSchema = z.object({
  DataType: z.string(),
  StringValue: z.string().optional(),
  /** Base64. */
  BinaryValue: z.string().optional(),
});
export type MessageAttributes = Readonly<Record<string, z.infer<typeof messageAttributeSchema>>>;

export interface Message {
  readonly id: string;
  readonly body: string;
  readonly attributes: MessageAttributes;
  readonly sentAtMs: number;
  readonly senderId: string;
  /** Hidden until then: delayed, or received and not deleted. */
  visibleAtMs: number;
  receiveCount: number;
  firstReceivedAtMs: number | undefined;
  /** Of the last receive: the only one that still counts. */
  receiptHandle: string | undefined;
  /** Set when the message was moved here by a redrive policy. */
  deadLetterSourceArn: string | undefined;
}

/** @throws AwsError InvalidMessageContents, InvalidParameterValue */
export function checkMessage(body: string, attributes: MessageAttributes): void {
  if (body === '') throw new AwsError('MissingParameter', 'The request must contain the parameter MessageBody.');
  // SendMessage API: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that SQS refuses
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(body))
    throw new AwsError('InvalidMessageContents', 'Message contents contain characters outside the allowed set.');
  if (Object.keys(attributes).length > MAX_ATTRIBUTES)
    throw new AwsError('InvalidParameterValue', 'Number of message attributes exceeds the allowed maximum [10].');
  for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(attributes)) {
    if (!/^(String|Number|Binary)(\..+)?$/.test(DataType))
      throw new AwsError('InvalidParameterValue', `The type of message (user) attribute '${name}' is invalid.`);
    if ((DataType.startsWith('Binary') ? BinaryValue : StringValue) === undefined)
      throw new AwsError('InvalidParameterValue', `The message attribute '${name}' has no value of its type.`);
  }
}

export function sizeOf(body: string, attributes: MessageAttributes): number {
  let bytes = Buffer.byteLength(body);
  for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(attributes))
    bytes += Buffer.byteLength(name + DataType + (StringValue ?? '')) + Buffer.byteLength(BinaryValue ?? '', 'base64');
  return bytes;
}

export function md5(text: string | Buffer): string {
  return createHash('md5').update(text).digest('hex');
}

/** SQS Developer Guide, "Calculating the MD5 message digest for message attributes". Undefined when there are none. */
export function md5OfAttributes(attributes: MessageAttributes): string | undefined {
  const entries = Object.entries(attributes).sort(([left], [right]) => (left < right ? -1 : 1));
  if (entries.length === 0) return undefined;
  const chunks: Buffer[] = [];
  const append = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    chunks.push(length, bytes);
  };
  for (const [name, { DataType, StringValue, BinaryValue }] of entries) {
    append(Buffer.from(name));
    append(Buffer.from(DataType));
    chunks.push(Buffer.from([DataType.startsWith('Binary') ? 2 : 1]));
    append(DataType.startsWith('Binary') ? Buffer.from(BinaryValue ?? '', 'base64') : Buffer.from(StringValue ?? ''));
  }
  return md5(Buffer.concat(chunks));
}
