import type { ExternalSecretTemplate } from '../../objects.ts';
import { FetchFailed } from './provider.ts';

/**
 * What is written into the target: the values, or what the template makes of them. With `Replace`, the default, the
 * template's keys alone are there. Only `{{ .name }}` is rendered.
 * @throws FetchFailed
 */
export function render(
  template: ExternalSecretTemplate | undefined,
  values: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  if (template?.data === undefined) return values;
  const rendered = Object.entries(template.data).map(([key, text]): [string, string] => [
    key,
    text.replaceAll(/\{\{\s*(?:\.([A-Za-z0-9_]+)|([^}]*?))\s*\}\}/g, (_all, name?: string, other?: string) => {
      const value = name === undefined ? undefined : values.get(name);
      if (value === undefined) throw new FetchFailed(`could not execute template at ${key}: ${name ?? other}`);
      return value;
    }),
  ]);
  return new Map([...(template.mergePolicy === 'Merge' ? values : []), ...rendered]);
}
