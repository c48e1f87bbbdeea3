/**
 * The element's own look: of the page it takes font and colours, and `--holdfast-accent`. Its parts (`::part(buy)` and others) can
 * be dressed from outside.
 */
export const style = `
:host { display: block; container-type: inline-size; --accent: var(--holdfast-accent, #0f5c5c) }
:host([hidden]), [hidden] { display: none }
* { box-sizing: border-box }
h3, p, ul { margin: 0 0 .5em }
h3 { font-size: 1.15em }
ul { padding: 0; list-style: none }
li { display: flex; flex-wrap: wrap; gap: .25em .75em; align-items: baseline; padding: .25em 0 }
.row, form { display: flex; flex-wrap: wrap; gap: .5em 1em; align-items: end; justify-content: space-between }
time, .timer, [part=stock] { font-variant-numeric: tabular-nums }
input { font: inherit; width: 5em; min-height: 2.75rem; padding: 0 .5em; display: block }
button, a { font: inherit; min-height: 2.75rem; padding: .5em 1em; border: 0; border-radius: .5em; cursor: pointer;
  background: var(--accent); color: var(--holdfast-on-accent, #fff); text-decoration: none; display: inline-block }
button:disabled { opacity: .6; cursor: default }
:lang(ko) { word-break: keep-all }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
`;
