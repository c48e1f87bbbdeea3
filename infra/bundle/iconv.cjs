/**
 * Takes the place of iconv-lite in mysql2 (plugins.mjs). Connections speak utf8mb4, which Node decodes itself. A server
 * greets in utf8mb3 before that is agreed; iconv-lite calls that CESU-8, and it equals UTF-8 for every character that a
 * greeting or an error message has. Any other character set is an error rather than a guess.
 */
const { StringDecoder } = require('node:string_decoder');

function nodeName(encoding) {
  if (encoding === 'cesu8') return 'utf8';
  throw new Error(`the character set ${encoding} is not bundled; connections must use utf8mb4`);
}

module.exports = {
  decode: (bytes, encoding) => bytes.toString(nodeName(encoding)),
  encode: (text, encoding) => Buffer.from(text, nodeName(encoding)),
  getDecoder: (encoding) => new StringDecoder(nodeName(encoding)),
  getEncoder: (encoding) => ({ write: (text) => Buffer.from(text, nodeName(encoding)), end: () => undefined }),
};
