/** A function that does nothing: what is left is serverless-offline itself. */
export const handler = async () => ({
  statusCode: 202,
  headers: { 'content-type': 'application/json' },
  body: '{"state":"requested"}',
});
