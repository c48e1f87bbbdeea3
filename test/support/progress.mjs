/**
 * A Jest reporter that says how many files are done of how many.
 */

/** One line for so many files is enough; Jest reports each file itself. */
const filesPerLine = 10;

export default class Progress {
  onTestResult(_test, _result, { numTotalTestSuites, numPassedTestSuites, numFailedTestSuites, numPendingTestSuites }) {
    const done = numPassedTestSuites + numFailedTestSuites + numPendingTestSuites;
    if (done % filesPerLine === 0) process.stderr.write(`${done} of ${numTotalTestSuites} files\n`);
  }
}
