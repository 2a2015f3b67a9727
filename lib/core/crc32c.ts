/**
 * CRC-32C (Castagnoli), the checksum of record batches and segments, in portable JavaScript: about 2 GB/s, a third of
 * what the processor's own instruction reaches through a native module. Servers that want that pass another function
 * into their Codecs; both agree on every byte.
 *
 * Polynomial 0x1EDC6F41, reflected (0x82F63B78), initial value and final xor 0xFFFFFFFF. Check value: the ASCII
 * digits "123456789" give 0xE3069283.
 */

const reflectedPolynomial = 0x82f63b78
const slices = 16

/** Slice s (256 entries at s * 256) advances a byte's remainder by s further zero bytes. */
const table = buildTable()

/**
 * The CRC-32C of `bytes`, unsigned. `seed` is the result for the bytes that came before, so that
 * `crc32c(b, crc32c(a))` is the checksum of a and b together.
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length
  let crc = ~seed
  let at = 0
  // Twelve of the sixteen lookups do not depend on the previous round; done first, they hide its latency.
  for (const last = length - 15; at < last; at += 16) {
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    const rest =
      table[2816 + (b & 255)]! ^
      table[2560 + ((b >>> 8) & 255)]! ^
      table[2304 + ((b >>> 16) & 255)]! ^
      table[2048 + (b >>> 24)]! ^
      table[1792 + (c & 255)]! ^
      table[1536 + ((c >>> 8) & 255)]! ^
      table[1280 + ((c >>> 16) & 255)]! ^
      table[1024 + (c >>> 24)]! ^
      table[768 + (d & 255)]! ^
      table[512 + ((d >>> 8) & 255)]! ^
      table[256 + ((d >>> 16) & 255)]! ^
      table[d >>> 24]!
    const a = crc ^ view.getInt32(at, true)
    crc =
      rest ^
      table[3840 + (a & 255)]! ^
      table[3584 + ((a >>> 8) & 255)]! ^
      table[3328 + ((a >>> 16) & 255)]! ^
      table[3072 + (a >>> 24)]!
  }
  for (; at < length; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]!) & 255]!
  return ~crc >>> 0
}

function buildTable(): Int32Array {
  const built = new Int32Array(slices * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ reflectedPolynomial : crc >>> 1
    built[byte] = crc
  }
  for (let at = 256; at < built.length; at++) {
    const previous = built[at - 256]!
    built[at] = (previous >>> 8) ^ built[previous & 255]!
  }
  return built
}
