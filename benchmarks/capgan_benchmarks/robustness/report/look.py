"""What the robustness report adds to the look of the demo's report: light and dark, wide, narrow and on paper."""

_LIGHT = """--s0:#c8443c;--s1:#1f5fc4;--s2:#008a63;--s3:#b36b00;--s4:#8a3fb0;--s5:#0089a7;--s6:#6b5b2e;--s7:#c2327e;
--s8:#5f8a00;--s9:#4a4f9e;--rest:#b3bbc6;--success:#5a6472;--tint:#dfe8f7;--dull:#e9ecf0;--idle:#5a6472;--idle-tint:#eceff3"""
_DARK = """--s0:#ef8078;--s1:#79a8ff;--s2:#4fcf9f;--s3:#f0b04d;--s4:#c79bec;--s5:#5cc8e0;--s6:#cbb67c;--s7:#f28abf;
--s8:#b4d455;--s9:#a3a8f0;--rest:#4d5663;--success:#9aa5b3;--tint:#223152;--dull:#262c34;--idle:#9aa5b3;--idle-tint:#262c34"""
_STYLES = "".join(
    f".plot .s{i}{{color:var(--s{i})}}.mark .s{i}{{color:var(--s{i})}}.curve.s{i}{{stroke-dasharray:{dash}}}"
    for i, dash in enumerate(("none", "none", "7 4", "3 3", "9 3 2 3", "2 4", "12 4", "5 2 1 2", "1 3", "6 6"))
)
LOOK = (
    f"""
:root{{{_LIGHT}}}
@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}
{_STYLES}"""
    + """
main{max-width:1240px}header>p,section>p,.threat>p{max-width:46rem}
h1{overflow-wrap:anywhere}
h3{font-size:1.08rem;margin:30px 0 4px;overflow-wrap:anywhere}
h4{font-size:.98rem;margin:0 0 10px;display:flex;justify-content:space-between;gap:8px;align-items:baseline}
h4 span{overflow-wrap:anywhere}h4 .badge{margin:0;flex:none}
section{scroll-margin-top:12px}
header .card{margin-top:18px}
.facts dl{grid-template-columns:max-content 1fr max-content 1fr}
.banner{border-radius:12px;padding:14px 18px;margin:18px 0 0;border:1px solid currentColor;line-height:1.5}
.banner a{color:inherit;font-weight:600;white-space:nowrap}
.card>.banner{margin:0 0 14px}
.empty{color:var(--soft);border-style:dashed}
.idle{color:var(--idle);background:var(--idle-tint)}
.target{color:var(--purified);background:var(--tint);font-size:.7rem;padding:0 6px;margin:0 0 0 6px}
nav{display:flex;flex-wrap:wrap;gap:6px 8px;margin:28px 0 0}
nav a{color:var(--soft);text-decoration:none;font-size:.86rem;border:1px solid var(--line);border-radius:999px;
padding:3px 11px;background:var(--card)}
nav a:hover,nav a:focus-visible{color:var(--ink);border-color:var(--soft)}
.strip .heads,.strip .system{display:grid;grid-template-columns:1.35fr repeat(4,1fr);gap:16px}
.strip .heads{padding:0 20px;color:var(--soft);font-size:.86rem;font-weight:600;margin:14px 0 8px}
.strip .system{padding:16px 20px;margin-bottom:12px;align-items:start}
.system h3{margin:6px 0 0;font-size:1.05rem}.system h3 small{display:block;font-weight:400}
.large b{display:block;font-size:1.95rem;letter-spacing:-.02em;line-height:1.2;font-variant-numeric:tabular-nums;
white-space:nowrap}
.large small{display:block;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;line-height:1.4}
.large.none b{color:var(--soft)}.large .what{display:none}
.gauge{display:block;position:relative;height:8px;border-radius:4px;margin:5px 0 6px;
background:linear-gradient(to right,var(--fill) var(--v),var(--dull) var(--v))}
.gauge::after{content:"";position:absolute;top:3px;height:2px;left:var(--lo);width:var(--span);background:var(--ink);
opacity:.8}
.gauge.clean{--fill:var(--clean)}.gauge.attacked{--fill:var(--purified)}
.threat{margin-top:26px}.threat>p{margin:2px 0 6px}.threat>.card,.threat>.panels{margin-top:10px}
table{min-width:0}.scroll{overflow-x:auto}
thead th{font-size:.82rem;color:var(--soft);font-weight:600;vertical-align:bottom}
tbody th{font-weight:600;min-width:120px}
th small,td small{display:block;font-weight:400;line-height:1.35}
td,th{padding-right:14px}td:last-child,th:last-child{padding-right:4px}
td.number,td small,td b{white-space:nowrap}
table b{font-weight:650}
tbody+tbody{border-top:1px solid var(--line)}
.scores tbody tr:last-child>*{border-bottom:1px solid var(--line)}
.scores tbody:last-child tr:last-child>*,.scores tbody:last-child th[scope=rowgroup]{border-bottom:0}
.scores th[scope=rowgroup],.scroll th[scope=row]{position:sticky;left:0;background:var(--card);z-index:1}
.scores .system{min-width:98px}
.scores .budget{white-space:nowrap}
.score{position:relative;padding:7px 12px 12px 0}
.score b,.score small{position:relative;white-space:nowrap}
.score::after{content:"";position:absolute;left:0;right:12px;bottom:6px;height:4px;border-radius:2px;
background:linear-gradient(to right,var(--purified) var(--v,0%),var(--dull) var(--v,0%))}
.score.other b{font-weight:400;color:var(--soft)}
.score.other::after{background:linear-gradient(to right,var(--clean) var(--v,0%),var(--dull) var(--v,0%))}
.score.none{color:var(--soft)}.score.none::after{content:none}
.bar{display:inline-block;min-width:96px;padding-bottom:6px;font-weight:600;white-space:nowrap;
background:linear-gradient(to right,var(--purified) var(--v),var(--dull) var(--v)) left bottom/100% 4px no-repeat}
.marked{display:block;border-left:4px solid var(--bad);padding-left:10px}
tr:has(.marked)>*{background:var(--bad-tint)!important}
details{margin-top:12px}summary{cursor:pointer;color:var(--soft);font-size:.9rem;font-weight:600;padding:4px 0}
summary:hover{color:var(--ink)}
details[open]>summary{margin-bottom:6px}
.panels+details>.scroll{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:6px 16px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:14px}
.panels figure{margin:0;padding:14px 14px 8px;min-width:0}
.panels figcaption{color:var(--ink);font-weight:600;margin-bottom:6px;overflow-wrap:anywhere}
.plot{width:100%;height:auto;display:block;overflow:visible}
.plot text{font-size:12px;fill:var(--soft);text-anchor:middle}.plot .tick{text-anchor:end}
.plot .grid{stroke:var(--line);fill:none}
.curve{fill:none;stroke:currentColor;stroke-width:2.2;stroke-linejoin:round}
.marker{fill:var(--card);stroke:currentColor;stroke-width:1.8}
.band{fill:currentColor;stroke:none;opacity:.13}
.success{color:var(--success)}.curve.success{stroke-width:1.6;stroke-dasharray:1.5 4;stroke-linecap:round}
.marker.success{fill:none;stroke-width:1.5}
.key{margin-top:14px}
svg.mark{width:32px;height:16px;vertical-align:-3px;margin:0 7px 0 0;display:inline-block}
.dot{fill:none;stroke:currentColor;stroke-width:6;stroke-linecap:round;opacity:.8}
.cross{fill:none;stroke:currentColor;stroke-width:1.7;opacity:.95}
.rest{color:var(--rest)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(460px,1fr));gap:14px;margin-top:10px}
.case{padding:16px}.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:10px}
.tiles figure{margin:0;min-width:0}.tiles figcaption{font-size:.76rem;line-height:1.3;margin-top:4px}
.whole,.pair small{white-space:nowrap}
.verdicts{table-layout:fixed;font-size:.84rem;margin-top:10px}.verdicts th,.verdicts td{padding:4px 10px 4px 0}
.verdicts tbody th{min-width:0;font-weight:400;color:var(--soft)}.verdicts *{overflow-wrap:anywhere}
.right{color:var(--good);font-weight:600}.wrong{color:var(--bad);font-weight:600}
.checks{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:14px}
.check{border-left:5px solid var(--idle);padding:16px 18px}.check.good{border-left-color:var(--good)}
.check.bad{border-left-color:var(--bad)}
.check.good,.check.idle{background:var(--card);color:var(--ink)}.check.bad{color:var(--ink)}
.check h3{margin:0 0 10px;font-size:1rem;display:flex;justify-content:space-between;gap:10px;align-items:start}
.check .badge{margin:0;flex:none}.check dl{gap:4px 14px}
pre{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 18px;overflow-x:auto;
white-space:pre-wrap;overflow-wrap:anywhere}
td code{overflow-wrap:anywhere;display:block;min-width:150px}
@media screen and (max-width:860px){.scroll table{min-width:720px}.scroll table.few{min-width:0}
.strip .heads{display:none}.strip .system{grid-template-columns:1fr 1fr}
.system h3{grid-column:1/-1;margin:0}.large .what{display:block;font-weight:600}.large b{font-size:1.7rem}
.facts dl{grid-template-columns:max-content 1fr}}
@media screen and (max-width:560px){.verdicts{font-size:.78rem}.verdicts th:first-child{width:42%}
.cards{grid-template-columns:1fr}.tiles{grid-template-columns:repeat(3,1fr)}
.checks{grid-template-columns:1fr}.facts dl{grid-template-columns:1fr}tbody th{min-width:92px}}
@page{margin:14mm}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#14181f;--soft:#4a5462;--line:#d5dae0;
--bad:#b32220;--bad-tint:#fdeceb;--good:#0f6b3f;--good-tint:#e5f5ec;--note:#8a5a00;--note-tint:#fdf3dc;--victim:#d2544f;
--purified:#2563c9;--clean:#8793a3;--attacked:#d2544f;"""
    + _LIGHT.replace("\n", "")
    + """}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
html{font-size:10px}body{line-height:1.4}main{max-width:none;padding:0}nav{display:none}header{padding:0}
h2{margin-top:26px;break-after:avoid}h3,h4,summary{break-after:avoid}
tr,.system,.check,.case,.panels figure{break-inside:avoid}
.card{padding:12px}.scroll{overflow:visible}table{font-size:.88rem}td,th{padding:5px 8px 5px 0}td code{font-size:.72rem}
.scores .system,tbody th,.bar{min-width:0}.strip .heads{display:grid}.large .what{display:none}
.strip .heads,.strip .system{grid-template-columns:1.35fr repeat(4,1fr)}.system h3{grid-column:auto}
.large b{font-size:1.7rem}.panels{grid-template-columns:1fr 1fr 1fr}.cards{grid-template-columns:1fr 1fr}
.tiles{grid-template-columns:repeat(5,1fr)}details::details-content{content-visibility:visible;block-size:auto}}
"""
)
