/**
 * Stands in for iconv-lite where mysql2 asks for it. Connections speak utf8mb4, which Node decodes itself, so only
 * an encoding that is not used here can arrive, and that is an error rather than a guess.
 */
function unsupported(encoding) {
  throw new Error(`the character set ${encoding} is not bundled; connections must use utf8mb4`);
}

module.exports = {
  decode: (_bytes, encoding) => unsupported(encoding),
  encode: (_text, encoding) => unsupported(encoding),
  getDecoder: (encoding) => unsupported(encoding),
  getEncoder: (encoding) => unsupported(encoding),
  encodingExists: (encoding) => Buffer.isEncoding(encoding),
};
