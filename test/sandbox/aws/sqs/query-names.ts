/**
 * SQS's older query protocol carries the same operations under other member names: lists are repeated elements named
 * in the singular, maps are lists of Name and Value (SQS API Reference 2012-11-05; Debian's awscli 2.9 speaks it).
 */

/** Member of the query protocol → member of the JSON protocol, where the two differ. */
const LISTS_IN: Readonly<Record<string, string>> = {
  AttributeName: 'AttributeNames',
  MessageAttributeName: 'MessageAttributeNames',
  MessageSystemAttributeName: 'MessageSystemAttributeNames',
  SendMessageBatchRequestEntry: 'Entries',
  DeleteMessageBatchRequestEntry: 'Entries',
  ChangeMessageVisibilityBatchRequestEntry: 'Entries',
};
const MAPS_IN: Readonly<Record<string, string>> = { Attribute: 'Attributes', MessageAttribute: 'MessageAttributes' };

const LISTS_OUT: Readonly<Record<string, string>> = { QueueUrls: 'QueueUrl', Messages: 'Message' };
const MAPS_OUT: Readonly<Record<string, string>> = { Attributes: 'Attribute', MessageAttributes: 'MessageAttribute' };

export function fromQuery(_operation: string, input: object): unknown {
  return renameInput(input);
}

export function toQuery(operation: string, output: object): object {
  return renameOutput(output, { ...LISTS_OUT, Successful: `${operation}ResultEntry`, Failed: 'BatchResultErrorEntry' });
}

function renameInput(input: unknown): unknown {
  if (Array.isArray(input)) return input.map(renameInput);
  if (typeof input !== 'object' || input === null) return input;
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => {
      const list = LISTS_IN[name];
      if (list) return [list, renameInput([value].flat())];
      const map = MAPS_IN[name];
      return map ? [map, Object.fromEntries([value].flat().map((each) => [each.Name, each.Value]))] : [name, value];
    }),
  );
}

function renameOutput(output: unknown, lists: Readonly<Record<string, string>>): object {
  return Object.fromEntries(
    Object.entries(output as object).map(([name, value]) => {
      const list = lists[name];
      if (list)
        return [list, value.map((each: unknown) => (typeof each === 'object' ? renameOutput(each, lists) : each))];
      const map = MAPS_OUT[name];
      return map ? [map, Object.entries(value).map(([Name, Value]) => ({ Name, Value }))] : [name, value];
    }),
  );
}
