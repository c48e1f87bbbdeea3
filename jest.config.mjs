// Jest runs the TypeScript sources as the ES modules they are; @swc/jest only strips the types.
// Started by test/run.ts, which brings up what the tests need and hands them the addresses.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>'],
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/\\.',
    '<rootDir>/client/dist/',
    // There must be a browser.
    ...(process.env.HOLDFAST_TEST_BROWSER ? [] : ['<rootDir>/test/pages/']),
    // There must be a LocalStack to deploy to.
    ...(process.env.HOLDFAST_TEST_DEPLOYMENT === 'yes' ? [] : ['<rootDir>/test/localstack/']),
  ],
  modulePathIgnorePatterns: ['<rootDir>/\\.'],
  haste: { enableSymlinks: false },
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  reporters: ['default', '<rootDir>/test/support/progress.mjs'],
  // `npm test -- --coverage`
  coverageProvider: 'v8',
  coverageDirectory: '<rootDir>/coverage',
  coverageReporters: ['text-summary', 'lcov'],
  collectCoverageFrom: ['{functions,lib,local,load,infra,demo,bench,client}/**/*.ts', '!**/*.test.ts'],
  maxWorkers: 2,
  testTimeout: 30_000,
  // Two processes live long in a big suite; a worker that has grown is replaced rather than swapped.
  workerIdleMemoryLimit: '1GB',
};
