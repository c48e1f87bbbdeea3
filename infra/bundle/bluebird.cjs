/** Stands in for Bluebird where redlock asks for it: the two things by which its promises differ from today's. */
module.exports = class BluebirdLike extends Promise {
  static map(items, work) {
    return BluebirdLike.all(items.map((item) => work(item)));
  }

  nodeify(callback) {
    if (typeof callback === 'function') {
      this.then(
        (value) => callback(null, value),
        (error) => callback(error),
      );
    }
    return this;
  }
};
