/**
 * Takes the place of undici's index, which loads fetch, WebSocket, caches and proxies too. Functions use its pool of
 * connections and nothing else.
 */
module.exports = { Pool: require('../../node_modules/undici/lib/dispatcher/pool.js') };
