/** Stands in for thread-stream: logs are written to standard output in the thread that has something to say. */
module.exports = class NoThreads {
  constructor() {
    throw new Error('log transports are not bundled');
  }
};
