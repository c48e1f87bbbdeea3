/** Stands in for mysql2 in functions whose role lets them nowhere near MySQL. */
function notDeclared() {
  throw new Error('this function is not declared to use MySQL');
}

export default { createPool: notDeclared };
