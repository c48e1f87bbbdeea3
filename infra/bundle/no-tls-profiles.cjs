/** Stands in for ioredis's certificates of another company's Redis service; ElastiCache's are among those that Node trusts. */
exports.default = {};
