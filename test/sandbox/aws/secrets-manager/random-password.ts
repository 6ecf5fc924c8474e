import { randomInt } from 'node:crypto';
import { AwsError } from '../service.ts';

export interface PasswordRequest {
  readonly PasswordLength: number;
  readonly ExcludeCharacters: string;
  readonly ExcludeNumbers: boolean;
  readonly ExcludePunctuation: boolean;
  readonly ExcludeUppercase: boolean;
  readonly ExcludeLowercase: boolean;
  readonly IncludeSpace: boolean;
  readonly RequireEachIncludedType: boolean;
}

/** GetRandomPassword. @throws AwsError InvalidParameterException when the wishes contradict each other */
export function randomPassword(request: PasswordRequest): string {
  const allowed = (characters: string, isExcluded: boolean) =>
    isExcluded ? [] : [...characters].filter((each) => !request.ExcludeCharacters.includes(each));
  const types = [
    allowed('abcdefghijklmnopqrstuvwxyz', request.ExcludeLowercase),
    allowed('ABCDEFGHIJKLMNOPQRSTUVWXYZ', request.ExcludeUppercase),
    allowed('0123456789', request.ExcludeNumbers),
    allowed('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~', request.ExcludePunctuation),
  ].filter((type) => type.length > 0);
  const all = [...types.flat(), ...allowed(' ', !request.IncludeSpace)];
  if (all.length === 0) throw new AwsError('InvalidParameterException', 'No characters are left for the password.');
  const required = request.RequireEachIncludedType ? types : [];
  if (required.length > request.PasswordLength)
    throw new AwsError('InvalidParameterException', 'PasswordLength is too short to hold each included type.');

  const characters = required.map(pick);
  while (characters.length < request.PasswordLength) characters.push(pick(all));
  return shuffled(characters).join('');
}

function pick(characters: readonly string[]): string {
  return characters[randomInt(characters.length)] ?? '';
}

function shuffled(characters: readonly string[]): readonly string[] {
  const rest = [...characters];
  return characters.map(() => rest.splice(randomInt(rest.length), 1)[0] ?? '');
}
