/** Stands in for mysql2 and Drizzle's driver in functions whose role lets them nowhere near MySQL. */
function notDeclared() {
  throw new Error('this function is not declared to use MySQL');
}

export { notDeclared as drizzle, notDeclared as escape, notDeclared as format };
export default { createPool: notDeclared };
