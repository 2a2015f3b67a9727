/** 64-bit integers of a format as JavaScript numbers: exact up to 2^53, and refused beyond. */

const two32 = 2 ** 32

/** The signed big-endian 64-bit integer at `at`, or NaN if it is not a safe integer. */
export function readI64(view: DataView, at: number): number {
  const value = view.getInt32(at) * two32 + view.getUint32(at + 4)
  return Number.isSafeInteger(value) ? value : Number.NaN
}

/** @throws RangeError unless `value` is a safe integer: a bug of the caller */
export function writeI64(view: DataView, at: number, value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`)
  view.setInt32(at, Math.floor(value / two32))
  view.setUint32(at + 4, value >>> 0)
}
