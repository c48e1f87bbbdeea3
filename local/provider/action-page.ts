/** The page on which a customer of the sandbox confirms or refuses a payment, as a bank's would. Called by server.ts. */

/** The page; `text` must need no escaping. With buttons if there is something to decide. */
export function actionPage(text: string, isOpen: boolean): string {
  const buttons = `<form method="post">
<button name="decision" value="confirm">Confirm</button> <button name="decision" value="refuse">Refuse</button>
</form>`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sandbox bank</title>
<style>:root { color-scheme: light dark } body { font: 1.1rem system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
button { font: inherit; min-height: 2.75rem; padding: 0 1rem }</style>
<main>
<h1>Sandbox bank</h1>
<p>${text}</p>
${isOpen ? buttons : ''}
</main>
</html>
`;
}
