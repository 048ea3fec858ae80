// The arrays in the page: one block of bytes, compressed and written in base64.

async function readArrays(text, specifications) {
  const compressed = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  let start = 0;
  return specifications.map(({ type, size }) => {
    const bytes = { float32: 4, float16: 2, uint8: 1 }[type] * size;
    const part = buffer.slice(start, start + bytes);
    start += bytes;
    if (type === "uint8") return new Uint8Array(part);
    return type === "float32" ? readFloats(part, size) : Float32Array.from(new Uint16Array(part), halfToNumber);
  });
}

// Return float32 numbers that are stored byte by byte: all first bytes, then all second ones, which compress better.
function readFloats(buffer, size) {
  const stored = new Uint8Array(buffer);
  const bytes = new Uint8Array(stored.length);
  for (let i = 0; i < size; i++) {
    for (let byte = 0; byte < 4; byte++) bytes[4 * i + byte] = stored[byte * size + i];
  }
  return new Float32Array(bytes.buffer);
}

function halfToNumber(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 32768 ? -1 : 1;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
