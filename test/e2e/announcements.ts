import type { Announcement, Installation } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';

/** A rotation and a roll-out take seconds; on a machine that does ten other things, a minute. */
const LONG_MS = 60_000;

/** Everything that people heard, kept: the queue that they listen at gives each announcement once. */
export class Announcements {
  readonly all: Announcement[] = [];
  readonly #environment: Installation;

  constructor(environment: Installation) {
    this.#environment = environment;
  }

  /** What was heard of one secret so far, or of one of its versions. */
  async of(secretArn: string, versionId?: string): Promise<readonly Announcement[]> {
    for (let news = await this.#environment.hear(0); news.length > 0; news = await this.#environment.hear(0))
      this.all.push(...news);
    return this.all.filter(
      ({ detail }) =>
        detail['secretArn'] === secretArn && (versionId === undefined || detail['versionId'] === versionId),
    );
  }

  /** Waits for an announcement. @throws Error with the types that were heard instead */
  async first(type: string, secretArn: string, versionId?: string, withinMs = LONG_MS): Promise<Announcement> {
    let heard: readonly Announcement[] = [];
    try {
      return await eventually(
        type,
        async () => {
          heard = await this.of(secretArn, versionId);
          return heard.find((announcement) => announcement.type === type);
        },
        withinMs,
      );
    } catch {
      const instead = heard.map((one) => `${one.type}: ${JSON.stringify(one.detail)}`).join('\n');
      throw new Error(`"${type}" did not come; heard instead:\n${instead || 'nothing'}`);
    }
  }
}
