/** Takes the place of Bluebird, which only redlock asks for: a Promise with the two methods that redlock calls besides. */
module.exports = class Bluebird extends Promise {
  static map(items, work) {
    return Bluebird.all(items.map((item) => work(item)));
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
