import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';

/** The folder of Rekey itself, wherever it is installed: this file lies at another depth in what is published. */
export const ROOT = dirname(findPackageJSON(import.meta.url) ?? '');

/** The one place where bundles are written and deployed from. */
export const DIST = join(ROOT, 'dist');
