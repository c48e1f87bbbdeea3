/**
 * Takes the place of the AWS SDK's search for credentials. Lambda puts those of the function's role into the environment;
 * a function that finds none there must not go on looking elsewhere.
 */
export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env';
