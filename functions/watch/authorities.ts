import { X509Certificate } from 'node:crypto';

/** @param pem one or more certificates. @returns epoch milliseconds; undefined: there is none that can be read */
export function firstExpiry(pem: string): number | undefined {
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const expiries = certificates.flatMap((each) => {
    try {
      return [new X509Certificate(each).validToDate.getTime()];
    } catch {
      return [];
    }
  });
  return expiries.length === 0 ? undefined : Math.min(...expiries);
}
