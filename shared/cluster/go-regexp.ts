import type { NamePattern } from './port.ts';

/** Far longer than any honest one; what it compiles to is bounded by RE2 itself. */
const MAX_LENGTH = 1_000;

/**
 * A regular expression as the External Secrets Operator reads it, which is written in Go. Whoever may create an
 * ExternalSecret writes it, so it is matched as Go does: in time that grows with the text alone, where JavaScript's own
 * would take for ever on `(a+)+$`. What Go refuses matches nothing: the operator cannot read by it either.
 */
export async function goRegexp(text: string): Promise<NamePattern> {
  if (text.length > MAX_LENGTH) return { text: text.slice(0, 100), matches: () => false };
  // Few clusters look secrets up by name, so that few starts have to read it.
  const { RE2JS } = await import('re2js');
  try {
    const pattern = RE2JS.compile(text);
    return { text, matches: (name) => pattern.matcher(name).find() };
  } catch {
    return { text, matches: () => false };
  }
}
