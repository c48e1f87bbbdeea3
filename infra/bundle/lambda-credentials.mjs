/**
 * Stands in for the SDK's search for credentials. A Lambda environment has those of its role in its environment
 * variables, and whoever finds none there must not go on looking elsewhere.
 */
export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env';
