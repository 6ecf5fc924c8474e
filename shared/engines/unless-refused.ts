import { RekeyError } from '../operations/errors.ts';

/** @returns `refused` when the server refused the login that the work began with */
export async function unlessRefused<T>(work: Promise<T>): Promise<T | 'refused'> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'LOGIN_REFUSED') return 'refused';
    throw error;
  }
}
