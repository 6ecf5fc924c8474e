import { systemClock as clock } from '../../shared/operations/clock.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { lookAtRotations } from '../../shared/secrets/rotations.ts';
import { createSecretsManagerRotations } from '../../shared/secrets/secrets-manager.ts';
import { measureFor } from '../measure.ts';
import { firstExpiry } from './authorities.ts';
import { readWatchConfig } from './config.ts';

const DAY_MS = 24 * 3_600_000;
/** Lambda Developer Guide, "Lambda runtimes": the end of nodejs24.x. */
const RUNTIME_ENDS_AT_MS = Date.UTC(2028, 3, 30);

const log = createLogger('watch');
const measure = measureFor(process.env);
const { rotationFunctions, authorities } = readWatchConfig(process.env);
const rotations = createSecretsManagerRotations();

/** On a schedule: says as metrics how old rotations are, and in the log which secrets somebody should look at. */
export async function handler(): Promise<void> {
  try {
    const now = clock.now();
    const { secrets, daysWithoutRotation, hoursOverdue, hoursPending, concerns } = lookAtRotations(
      await rotations.rotatedBy(rotationFunctions),
      now,
    );
    for (const concern of concerns) log.warn('a rotation needs a look', { ...concern });
    const expiries = authorities.map((pem) => firstExpiry(pem) ?? now);
    measure({
      SecretsRotated: secrets,
      DaysWithoutRotation: daysWithoutRotation,
      HoursOverdue: hoursOverdue,
      HoursPending: hoursPending,
      RuntimeDaysLeft: (RUNTIME_ENDS_AT_MS - now) / DAY_MS,
      ...(expiries.length > 0 && { AuthorityDaysLeft: (Math.min(...expiries) - now) / DAY_MS }),
    });
  } catch (error) {
    log.error('watch failed', { error });
    throw asRekeyError(error);
  }
}
