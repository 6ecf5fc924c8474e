/** Condition operators: IAM User Guide, "IAM JSON policy elements: Condition operators". */

type Compare = (value: string, wanted: string) => boolean;

interface Operator {
  readonly compare: Compare;
  /** True only where no wanted value matches; then a missing key is true as well. */
  readonly negated: boolean;
}

const equals: Compare = (value, wanted) => value === wanted;
const equalsIgnoringCase: Compare = (value, wanted) => value.toLowerCase() === wanted.toLowerCase();
const like: Compare = (value, wanted) => matchesWildcards(wanted, value);
const numeric =
  (compare: (value: number, wanted: number) => boolean): Compare =>
  (value, wanted) =>
    compare(Number(value), Number(wanted));

const OPERATORS: Readonly<Record<string, Operator>> = {
  StringEquals: { compare: equals, negated: false },
  StringNotEquals: { compare: equals, negated: true },
  StringEqualsIgnoreCase: { compare: equalsIgnoringCase, negated: false },
  StringNotEqualsIgnoreCase: { compare: equalsIgnoringCase, negated: true },
  StringLike: { compare: like, negated: false },
  StringNotLike: { compare: like, negated: true },
  ArnEquals: { compare: matchesArn, negated: false },
  ArnLike: { compare: matchesArn, negated: false },
  ArnNotEquals: { compare: matchesArn, negated: true },
  ArnNotLike: { compare: matchesArn, negated: true },
  Bool: { compare: equalsIgnoringCase, negated: false },
  NumericEquals: { compare: numeric((value, wanted) => value === wanted), negated: false },
  NumericNotEquals: { compare: numeric((value, wanted) => value === wanted), negated: true },
  NumericLessThan: { compare: numeric((value, wanted) => value < wanted), negated: false },
  NumericLessThanEquals: { compare: numeric((value, wanted) => value <= wanted), negated: false },
  NumericGreaterThan: { compare: numeric((value, wanted) => value > wanted), negated: false },
  NumericGreaterThanEquals: { compare: numeric((value, wanted) => value >= wanted), negated: false },
};

interface Parsed {
  readonly over: 'one' | 'any' | 'all';
  readonly name: string;
  readonly ifExists: boolean;
}

/** `ForAnyValue:StringLikeIfExists` */
const SPELLING = /^(?:For(?<set>Any|All)Values?:)?(?<name>[A-Za-z]+?)(?<ifExists>IfExists)?$/;

function parse(operator: string): Parsed {
  const { set, name = '', ifExists } = SPELLING.exec(operator)?.groups ?? {};
  return { over: set === 'Any' ? 'any' : set === 'All' ? 'all' : 'one', name, ifExists: ifExists !== undefined };
}

/** @throws Error when the sandbox does not know the operator */
export function checkOperator(operator: string): void {
  const { name, over, ifExists } = parse(operator);
  if (Object.hasOwn(OPERATORS, name) || (name === 'Null' && over === 'one' && !ifExists)) return;
  throw new Error(`the sandbox does not know the condition operator ${operator}`);
}

/**
 * @param wanted the values in the policy: one of them is enough
 * @param values of the key in the request; undefined where the request does not have it
 * @throws Error for a key of several values without ForAnyValue or ForAllValues: AWS does not say what that means
 */
export function holds(operator: string, wanted: readonly string[], values: readonly string[] | undefined): boolean {
  const { name, over, ifExists } = parse(operator);
  if (name === 'Null') return wanted.some((text) => (text === 'true') === (values === undefined));
  const known = OPERATORS[name];
  if (known === undefined) throw new Error(`the sandbox does not know the condition operator ${operator}`);
  const { compare, negated } = known;
  const passes = (value: string) => wanted.some((text) => compare(value, text)) !== negated;
  switch (over) {
    case 'any':
      return (values ?? []).some(passes);
    case 'all':
      return (values ?? []).every(passes);
    case 'one':
      if (values === undefined) return ifExists || negated;
      if (values.length !== 1) throw new Error(`${operator} compares one value, and the request has ${values.length}`);
      return values.every(passes);
  }
}

/** `*` any number of characters, `?` exactly one. */
export function matchesWildcards(pattern: string, text: string): boolean {
  const source = pattern.replace(/[\\^$.*+?()[\]{}|]/g, (one) => (one === '*' ? '.*' : one === '?' ? '.' : `\\${one}`));
  return new RegExp(`^${source}$`, 's').test(text);
}

/** Each of the six parts between colons is compared by itself; a wildcard does not reach into the next. */
function matchesArn(value: string, wanted: string): boolean {
  const [parts, patterns] = [partsOf(value), partsOf(wanted)];
  return (
    parts.length === patterns.length && patterns.every((pattern, at) => matchesWildcards(pattern, parts[at] ?? ''))
  );
}

function partsOf(arn: string): string[] {
  const parts = arn.split(':');
  return [...parts.slice(0, 5), ...(parts.length > 5 ? [parts.slice(5).join(':')] : [])];
}
