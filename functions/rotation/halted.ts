import { RekeyError } from '../../shared/operations/errors.ts';
import { EVENT_SOURCE, type Unproved } from '../../shared/operations/events.ts';
import type { MoveBackRequest } from '../../shared/rotation/move-back.ts';

const VERSION_ID = /^[\x21-\x7e]{32,64}$/;

/**
 * `Sync Halted` as EventBridge puts it on the queue, where it asks for AWSCURRENT to move back. By hand: a library that
 * reads it would be the twentieth part of what every rotation has to load.
 * @throws RekeyError EVENT_INVALID, naming the field and never the body
 */
export function parseHalted(body: string): MoveBackRequest {
  const event = fieldsOf(parseJson(body));
  if (event['source'] !== EVENT_SOURCE) throw invalid('source');
  if (event['detail-type'] !== 'Sync Halted') throw invalid('detail-type');
  const detail = fieldsOf(event['detail']);
  const { secretArn, secretName, versionId, failed } = detail;
  const { previousVersionId } = fieldsOf(detail['moveBack']);
  if (!isText(secretArn)) throw invalid('detail.secretArn');
  if (!isText(secretName)) throw invalid('detail.secretName');
  if (!isVersionId(versionId)) throw invalid('detail.versionId');
  if (!Array.isArray(failed) || !failed.every(isUnproved)) throw invalid('detail.failed');
  if (!isVersionId(previousVersionId)) throw invalid('detail.moveBack.previousVersionId');
  return { secretArn, secretName, versionId, previousVersionId, failed };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new RekeyError('EVENT_INVALID', 'the message is not JSON');
  }
}

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isVersionId = (value: unknown): value is string => isText(value) && VERSION_ID.test(value);
/** What is told further is what sync wrote, causes and all. */
const isUnproved = (value: unknown): value is Unproved =>
  ['cluster', 'kind', 'namespace', 'name', 'why'].every((key) => typeof fieldsOf(value)[key] === 'string');

const invalid = (field: string) =>
  new RekeyError('EVENT_INVALID', `this is not a "Sync Halted" event that asks to move back: see "${field}"`);
