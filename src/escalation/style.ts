/** The approver's page. Its hash is what the page's security policy lets in. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #16181d; --paper: #ffffff; --line: #5b6472; --box: #f2f4f7; --theirs: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff4; --paper: #14161a; --line: #9aa4b2; --box: #20242b; --theirs: #f0b46a; } }
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header, main { max-width: 46rem; margin: 0 auto; padding: 0 1rem; }
header p { font-weight: 600; margin: 1rem 0; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: .25rem 0; padding: .75rem; background: var(--box); overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code { font-size: .95em; }
ul { padding-left: 1.25rem; }
.theirs { border: 2px dashed var(--theirs); padding: .5rem .75rem; margin: .75rem 0; }
.theirs .label { margin: 0; font-weight: 600; color: var(--theirs); }
.source { border-left: .25rem solid var(--line); padding: .25rem .75rem; margin: .75rem 0; }
.source .label, .changed .label { margin: 0; font-weight: 600; }
.changed { border: 2px solid currentColor; padding: .5rem .75rem; margin: .75rem 0; }
.fact pre { max-height: 12rem; overflow: auto; unicode-bidi: isolate; }
code { unicode-bidi: isolate; overflow-wrap: anywhere; }
.problem { border: 2px solid currentColor; padding: .75rem; font-weight: 600; }
fieldset { border: 1px solid var(--line); margin: 1rem 0; padding: .5rem 1rem; }
label { display: block; margin: .5rem 0 .25rem; }
fieldset label { font-weight: 400; }
input[type=number] { width: 8rem; }
input, textarea, button { font: inherit; color: inherit; }
textarea, input[type=number] { background: var(--paper); border: 1px solid var(--line); padding: .5rem; }
textarea { width: 100%; }
.buttons { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0 3rem; }
button { min-height: 3rem; min-width: 9rem; border: 2px solid transparent; border-radius: .35rem; font-weight: 600; cursor: pointer; }
.approve { background: #0b5d2a; color: #ffffff; }
.reject { background: #9b1c1c; color: #ffffff; }
:focus-visible { outline: 3px solid #1f6feb; outline-offset: 2px; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } button { width: 100%; } }
`
