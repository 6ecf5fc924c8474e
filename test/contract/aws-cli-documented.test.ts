import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { awsCli, describeWithAwsCli } from './aws-cli.ts';

/** What people are told to run, in the documents and in errors: the real CLI knows the command and each of its options. */

/** An option or its value, which may be in quotes or have a placeholder. */
const WORD = /'[^']*'|"[^"]*"|(?:<[^>]+>|[^\s<`();'"])+/g;
const COMMAND = new RegExp(`aws ((?:secretsmanager|eks|cloudformation) [a-z-]+(?: (?:${WORD.source}))+)`, 'g');
/** For an ARN, a version and a name. */
const LONG_ENOUGH = 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111';
const VALUES: Readonly<Record<string, string>> = { '<days>': '30', '<file>': 'README.md' };

function commandsIn(file: string): readonly string[] {
  const text = readFileSync(file, 'utf8').replace(/\\\n\s*/g, '');
  return [...text.matchAll(COMMAND)].map(([, command = '']) => command);
}

/** Nobody is there. */
const ENDPOINT = 'http://127.0.0.1:1';

const documents = readdirSync('docs').map((name) => `docs/${name}`);
const commands = [...new Set([...documents, 'README.md'].flatMap(commandsIn))];

await describeWithAwsCli('what documents and errors tell people', () => {
  const aws = awsCli({ endpoint: ENDPOINT, region: 'eu-west-1' });

  test('is there', () => expect(commands.length).toBeGreaterThan(10));

  test.each(commands)('%s', async (command) => {
    const args = (command.match(WORD) ?? []).map((word) =>
      word.replace(/^(['"])(.*)\1$/, '$2').replace(/<[^>]+>/, (name) => VALUES[name] ?? LONG_ENOUGH),
    );
    // What it does not know, or misses, it says before it connects.
    await expect(aws(...args)).rejects.toThrow('Could not connect');
  });
});
