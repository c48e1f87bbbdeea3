/** Takes the place of mysql2 and Drizzle's driver in functions whose role does not reach MySQL; see without-mysql.mjs. */
function notDeclared() {
  throw new Error('this function is not declared to use MySQL');
}

export { notDeclared as drizzle, notDeclared as escape, notDeclared as format };
export default { createPool: notDeclared };
