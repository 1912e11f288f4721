// The looks of a report: light, dark by the reader's own setting, and always light on paper.

export const REPORT_STYLE = `
:root { color-scheme: light dark;
  --back: #fff; --text: #1b1f24; --quiet: #59626d; --rule: #d9dee4; --soft: #f4f6f8;
  --pass: #0b6b3a; --fail: #b3261e; --mark: #8a5a00;
  --line-0: #1d5fd1; --line-1: #b4530a; --line-2: #0f766e; --line-3: #8b2fa8; --line-4: #b8123f; --line-5: #4d7a0e }
@media screen and (prefers-color-scheme: dark) { :root {
  --back: #14181d; --text: #e6e9ed; --quiet: #a3adb8; --rule: #39424d; --soft: #1d232a;
  --pass: #5fd39a; --fail: #ff8a80; --mark: #e6b450;
  --line-0: #7fb0ff; --line-1: #f2a65e; --line-2: #58d0c2; --line-3: #d7a3f2; --line-4: #ff8fa8; --line-5: #a9d763 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .4rem 0 } .quiet { color: var(--quiet) }
.verdict { border-left: .5rem solid; padding: .2rem 0 .2rem 1rem; margin: 0 0 1rem }
.verdict strong { font-size: 1.5rem } .pass { color: var(--pass) } .fail { color: var(--fail) }
.verdict p { color: var(--text) } .warn { color: var(--mark) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--rule) }
thead th { color: var(--quiet); font-weight: 500; font-size: .87rem } tbody th { font-weight: 500 }
td.pass, td.fail { font-weight: 600; white-space: nowrap; padding-right: 0 } td small, th small { display: block; color: var(--quiet); font-weight: 400 }
.number { text-align: right } .time { white-space: nowrap }
figure { margin: 1.2rem 0 } figcaption { font-size: .9rem; margin-bottom: .3rem } figure > svg { width: 100%; height: auto; display: block } figure > svg.narrow { display: none }
.legend { margin-left: .9rem; color: var(--quiet); white-space: nowrap }
svg text { font: 11px system-ui, sans-serif; fill: var(--quiet) }
.grid { stroke: var(--rule); stroke-width: 1 } .mark { stroke: var(--mark); stroke-width: 1.2 } svg .mark-label { fill: var(--mark); stroke: var(--back); stroke-width: 3px; paint-order: stroke }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round } .strong { stroke-width: 2.6 }
.line-0 { stroke: var(--line-0) } .line-1 { stroke: var(--line-1) } .line-2 { stroke: var(--line-2) }
.line-3 { stroke: var(--line-3) } .line-4 { stroke: var(--line-4) } .line-5 { stroke: var(--line-5) }
.spark { display: block; overflow: visible } .spark .trail { fill: none; stroke: var(--quiet); stroke-width: 1.4; stroke-linejoin: round }
.spark .usual { stroke: var(--rule); stroke-width: 1.5; stroke-dasharray: 3 3 } circle.pass { fill: var(--pass) } circle.fail { fill: var(--fail) } circle.warn { fill: var(--mark) } circle.quiet { fill: var(--quiet) }
time { white-space: nowrap; cursor: help } time[title]:hover { text-decoration: underline dotted }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0 } dt { color: var(--quiet) } dd { margin: 0 }
/* On a phone a row is a card: each figure below its own name. */
@media screen and (max-width: 44rem) {
  body { padding: 1rem } dl { grid-template-columns: 1fr; gap: 0 } dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
  .legend { display: inline-block; margin: 0 .9rem 0 0 } figcaption b { display: block }
  figure > svg.wide { display: none } figure > svg.narrow { display: block }
  .cards, .cards :is(tbody, tr, th, td) { display: block; border: 0 } .cards thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden }
  .cards tr { border-bottom: 1px solid var(--rule); padding: .6rem 0 } .cards :is(th, td) { padding: .1rem 0 }
  .cards td[data-head]::before { content: attr(data-head); color: var(--quiet); font-size: .87rem; margin-right: .6em }
  .cards.promises tr { display: grid; grid-template-columns: 1fr auto; column-gap: 1rem } .cards.promises td { grid-column: 1 / -1 }
  .cards.promises :is(td.pass, td.fail) { grid-area: 1 / 2 } .spark { display: inline-block; vertical-align: middle; margin-right: .6em } .cards .past > small:only-child { display: inline } }
@page { margin: 14mm }
@media print { body { padding: 0; max-width: none; font-size: 11px }
  figure, tr { break-inside: avoid } h2 { break-after: avoid } .scroll { overflow: visible } }
`;
