import { createHash } from 'node:crypto';

/*
 * Ed25519 as MariaDB's client_ed25519 uses it: RFC 8032, except that the secret is the password itself, of any length,
 * where the RFC has a seed of 32 bytes. Node's crypto takes such seeds alone, hence the arithmetic here. It is not
 * made to run in constant time: it runs in a process of its own, on a password that nobody else may time.
 * https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-plugin-ed25519
 */

/** 32 bytes, which the server keeps instead of the password. */
export const ed25519PublicKey = (password: Buffer): Buffer => encode(times(BASE, secretOf(password).scalar));

/** 64 bytes that only who knows the password can make of the message. */
export function ed25519Sign(password: Buffer, message: Buffer): Buffer {
  const { scalar, prefix } = secretOf(password);
  const nonce = fromBytes(sha512(prefix, message)) % ORDER;
  const commitment = encode(times(BASE, nonce));
  const challenge = fromBytes(sha512(commitment, encode(times(BASE, scalar)), message)) % ORDER;
  return Buffer.concat([commitment, toBytes((nonce + challenge * scalar) % ORDER)]);
}

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** A point of the curve in extended coordinates (RFC 8032 §5.1.4): x = X/Z, y = Y/Z, x·y = T/Z. */
interface Point {
  readonly x: bigint;
  readonly y: bigint;
  readonly z: bigint;
  readonly t: bigint;
}

const mod = (value: bigint): bigint => {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
};

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = mod(base), left = exponent; left > 0n; left >>= 1n, square = mod(square * square))
    if (left & 1n) result = mod(result * square);
  return result;
}

const inverse = (value: bigint): bigint => power(value, P - 2n);

const D = mod(-121665n * inverse(121666n));
const NEUTRAL: Point = { x: 0n, y: 1n, z: 1n, t: 0n };
const BASE: Point = (() => {
  const x = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
  const y = mod(4n * inverse(5n));
  return { x, y, z: 1n, t: mod(x * y) };
})();

function add(one: Point, other: Point): Point {
  const a = mod((one.y - one.x) * (other.y - other.x));
  const b = mod((one.y + one.x) * (other.y + other.x));
  const c = mod(2n * one.t * other.t * D);
  const d = mod(2n * one.z * other.z);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return { x: mod(e * f), y: mod(g * h), z: mod(f * g), t: mod(e * h) };
}

function times(point: Point, scalar: bigint): Point {
  let sum = NEUTRAL;
  for (let double = point, left = scalar; left > 0n; left >>= 1n, double = add(double, double))
    if (left & 1n) sum = add(sum, double);
  return sum;
}

function encode({ x, y, z }: Point): Buffer {
  const scale = inverse(z);
  const bytes = toBytes(mod(y * scale));
  bytes[31] = (bytes[31] ?? 0) | (Number(mod(x * scale) & 1n) << 7);
  return bytes;
}

/** RFC 8032 §5.1.5. */
function secretOf(password: Buffer): { readonly scalar: bigint; readonly prefix: Buffer } {
  const hash = sha512(password);
  const low = Buffer.from(hash.subarray(0, 32));
  low[0] = (low[0] ?? 0) & 248;
  low[31] = ((low[31] ?? 0) & 127) | 64;
  return { scalar: fromBytes(low), prefix: hash.subarray(32) };
}

function sha512(...parts: readonly Buffer[]): Buffer {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

const fromBytes = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const toBytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();
