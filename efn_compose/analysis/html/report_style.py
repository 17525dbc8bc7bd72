"""The page's style sheet: light, dark and print, from a phone to a wide screen."""

from efn_compose.analysis.html.palette import (
    DARK,
    DONORS_DARK,
    DONORS_LIGHT,
    LIGHT,
    variables,
)

_SANS = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",sans-serif'
_SERIF = (
    'Charter,"Bitstream Charter","Iowan Old Style","Source Serif 4",Georgia,"DejaVu Serif",serif'
)
_MONO = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace'

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 SANS;
  font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.page{max-width:60rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1,h2,.lead{font-family:SERIF;font-weight:600;line-height:1.25;text-wrap:balance}
h1{font-size:1.15rem;margin:0}
h2{font-size:1.45rem;margin:0 0 .35rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{margin:.4rem 0 .8rem;max-width:44rem}
section{margin-top:2.6rem;padding-top:1.4rem;border-top:1px solid var(--rule)}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
header{display:flex;flex-wrap:wrap;gap:.3rem 1rem;align-items:baseline;
  justify-content:space-between}
.status{color:var(--ink-2);font-size:.9rem}
.lead{font-size:clamp(1.5rem,4.6vw,2.3rem);margin:1.6rem 0 .6rem;max-width:46rem}
.words{max-width:44rem}
.quiet,figcaption,.note{color:var(--ink-2);font-size:.9rem}
nav{margin:1.6rem 0 0;font-size:.9rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:0;padding:0}
nav a{color:var(--ink-2);text-underline-offset:.2em;display:inline-block;padding:.15rem 0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1rem 1.5rem;
  margin:1.6rem 0 0}
.facts div{border-top:2px solid var(--ink);padding-top:.4rem}
.facts .main{border-color:var(--accent)}
.facts dt{color:var(--ink-2);font-size:.85rem}
.facts dd{margin:0;font-size:1.3rem;line-height:1.3}
.facts dd>span{white-space:nowrap}
.facts small{display:block;color:var(--ink-2);font-size:.82rem;line-height:1.35}
.box{border-left:3px solid var(--warn);background:var(--panel);padding:.7rem 1rem;margin:1.4rem 0}
.box p,.box ul{margin:.2rem 0}
.scroll{overflow-x:auto;margin:.6rem 0}
.note{margin-bottom:.2rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;overflow-wrap:break-word}
th,td{text-align:left;padding:.34rem .9rem .34rem 0;border-bottom:1px solid var(--rule);
  vertical-align:top}
th:first-child{min-width:7.5rem;max-width:17rem;overflow-wrap:anywhere}
thead th{color:var(--ink-2);font-weight:500;font-size:.82rem;vertical-align:bottom}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
tr.winner{background:var(--wash)}
tr.winner th{box-shadow:inset 3px 0 0 var(--accent);padding-left:.7rem}
code,pre,.mono{font-family:MONO;font-size:.86em}
pre{background:var(--panel);padding:.7rem .9rem;overflow-x:auto;white-space:pre-wrap;
  margin:.4rem 0 1rem}
pre.wide{white-space:pre}
.under{display:block;color:var(--ink-2)}
.hash{font-family:MONO;font-size:.8em;color:var(--ink-2);word-break:break-all}
.hash.cut{white-space:nowrap}
figure{margin:1rem 0 1.6rem}
figcaption{margin-top:.5rem;max-width:44rem}
svg{display:block;max-width:100%;height:auto;overflow:visible}
svg text{font:12px SANS;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .tick{fill:var(--ink-2);font-size:11.5px}
svg .axis{fill:var(--ink-2);font-size:12px}
svg .strong{font-weight:600}
.narrow{display:none}
.grid{stroke:var(--rule);stroke-width:1}
.frame{stroke:var(--ink-2);stroke-width:1}
.guide{stroke:var(--ink-2);stroke-width:1;stroke-dasharray:2 3}
.band{fill:var(--panel)}
.noise{fill:var(--mark);opacity:.22}
.dots{fill:none;stroke-linecap:round;stroke-width:5}
.few .dots{stroke-width:6}
.many .dots{stroke-width:3}
.composed{stroke:var(--mark)}
.fill-composed{fill:var(--mark)}
.accent{stroke:var(--accent)}
.fill-accent{fill:var(--accent)}
.best{fill:none;stroke:var(--accent);stroke-width:2.2;stroke-linejoin:round}
.failed{fill:none;stroke:var(--warn);stroke-width:1.6}
.average{fill:none;stroke:var(--ink-2);stroke-width:1.4}
.chapter{fill:var(--panel);stroke:var(--ink-2);stroke-width:1}
svg a text.strong{fill:var(--accent);text-decoration:underline}
.out{fill:var(--mark)}
.ring{fill:none;stroke:var(--ink-2);stroke-width:1}
.donor-line{fill:none;stroke-width:1.4}
.interval{fill:none}
.chip{display:inline-block;min-width:1.5em;padding:0 .3em;text-align:center;border-radius:3px;
  font-size:.8rem;font-weight:600;line-height:1.45}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin:.4rem 0;padding:0;
  font-size:.86rem}
.legend svg{display:inline-block;vertical-align:-2px;margin-right:.3rem}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--ink-2);font-size:.9rem;padding:.2rem 0}
footer{margin-top:3rem;color:var(--ink-2);font-size:.85rem}
"""

_NARROW = """
@media (max-width:46rem){
.page{padding:1rem 1rem 3rem}
.wide{display:none}.narrow{display:block;max-width:30rem}
section{margin-top:2rem;padding-top:1.1rem}
.facts dd{font-size:1.05rem}.facts{gap:.9rem 1rem;grid-template-columns:1fr 1fr}
th,td{padding-right:.8rem}
/* Sentences that begin beside the screen would else be squeezed to a word a line. */
.prose{min-width:11rem}
th:first-child{position:sticky;left:0;background:var(--paper);max-width:9.5rem}
tr.winner th:first-child{background:var(--wash)}
}
"""

_PRINT = """
@media print{
@page{margin:16mm}
body{font-size:10.5pt;background:#fff}
.page{max-width:none;padding:0}
nav,.skip{display:none}
figure>div,figcaption,tr,.facts,.row,pre{break-inside:avoid}
h2,h3,.note{break-after:avoid}
section{margin-top:1.4rem;padding-top:.8rem}
.wide{display:block}.narrow{display:none}
a{color:inherit;text-decoration:none}
.scroll{overflow:visible}
/* What scrolls on a screen must fit on paper. */
table{font-size:7.5pt}
th,td{padding-right:.5rem}
th:first-child{min-width:0;position:static;background:none}
.n{white-space:normal}
td,th{overflow-wrap:anywhere}
thead th,.matrix td,.matrix th{overflow-wrap:normal}
svg,.chip,.tile,tr.winner,.box,pre{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def style_sheet(extra: str = "") -> str:
    """Return the page's style sheet.

    Args:
        extra: Rules of single charts.
    """
    light, dark = variables(LIGHT, DONORS_LIGHT), variables(DARK, DONORS_DARK)
    donors = "".join(
        f".d{n}{{fill:var(--d{n})}}.s{n}{{stroke:var(--d{n})}}"
        f".chip.d{n},.tile .d{n}{{background:var(--d{n});color:var(--i{n})}}"
        f"svg text.t{n}{{fill:var(--i{n})}}"
        for n in range(len(DONORS_LIGHT))
    )
    rules = _RULES.replace("SANS", _SANS).replace("SERIF", _SERIF).replace("MONO", _MONO)
    return (
        f":root{{{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{rules}{donors}{extra}{_NARROW}{_PRINT}"
    )
