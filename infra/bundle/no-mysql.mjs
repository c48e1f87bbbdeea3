/** Takes the place of mysql2 in functions whose role does not reach MySQL; see plugins.mjs. */
function notDeclared() {
  throw new Error('this function is not declared to use MySQL');
}

export default { createPool: notDeclared };
