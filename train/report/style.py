"""How the page looks: light and dark, on a phone and on paper."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --paper: #ffffff; --line: #d0d7de;
  --ours: #eaf3fb; --group: #f3f4f6; --warn: #fff3d6; --warn-line: #b7791f; --link: #0a58ca; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --quiet: #9aa4af; --paper: #14171b; --line: #363c44;
    --ours: #17293a; --group: #1f242a; --warn: #3a2e12; --warn-line: #e0a93b; --link: #7cb7ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
a { color: var(--link); }
nav ul { columns: 16rem; padding-left: 1.2rem; }
.notice { border-left: .3rem solid var(--warn-line); background: var(--warn); padding: .6rem .9rem; font-weight: 600; }
.missing { color: var(--quiet); }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--group);
  padding: .1rem .3rem; border-radius: .2rem; }
.scroll { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: .4rem; }
table { border-spacing: 0; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .6rem; font-weight: 600; max-width: calc(100vw - 2.2rem); }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid var(--line);
  overflow-wrap: normal; }
th.number, td.number { text-align: right; white-space: nowrap; }
thead th.number { white-space: normal; }
th.word, td.word { min-width: 7rem; }
td.hash { min-width: 9rem; overflow-wrap: anywhere; font: .85em/1.4 ui-monospace, monospace; }
tbody th { font-weight: 400; }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper); }
tr.ours > * { background: var(--ours); }
tr.paper > *, tr.peer > * { color: var(--quiet); }
tr.group > * { background: var(--group); font-weight: 600; }
dl { display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: .2rem 1rem; font-size: .95rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
figure { margin: 1.25rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: .4rem; padding: .4rem; }
figcaption { color: var(--quiet); font-size: .9rem; margin-top: .4rem; }
figure.drawing { display: inline-block; width: 100%; vertical-align: top; }
@media (min-width: 46rem) { figure.drawing { width: calc(50% - 1rem); margin-right: .75rem; } }
.drawing h3 { font-size: 1rem; margin: 0 0 .5rem; }
.drawing svg { display: block; width: 100%; height: auto; font-size: 11px; font-variant-numeric: tabular-nums; }
.drawing text { fill: var(--ink); }
.drawing .quiet { fill: var(--quiet); }
.drawing .ground { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.drawing .line { stroke: var(--line); stroke-width: .7; }
.drawing .ink { stroke: var(--ink); stroke-width: 1.2; }
footer { margin: 3rem 0 1rem; font-weight: 600; }
@media print { body { max-width: none; } .scroll { overflow: visible; border: 0; } figure, tr { break-inside: avoid; } }
""".strip()
