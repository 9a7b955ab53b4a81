"""The look of the report: one style sheet, light and dark, wide and narrow; nothing is loaded from anywhere."""

CSS = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#14181f;--soft:#5a6472;--line:#e1e5ea;--bad:#c2302e;
--bad-tint:#fdeceb;--good:#137a4b;--good-tint:#e5f5ec;--note:#8a5a00;--note-tint:#fdf3dc;--victim:#d2544f;
--purified:#2563c9;--clean:#8793a3;--attacked:#d2544f}
@media(prefers-color-scheme:dark){:root{--paper:#0f1216;--card:#181c22;--ink:#e9ecf1;--soft:#9aa5b3;--line:#2a3038;
--bad:#ff8f88;--bad-tint:#3a1c1c;--good:#6fdca5;--good-tint:#12301f;--note:#f0c469;--note-tint:#33280f;--victim:#e0706b;
--purified:#6d9ff5;--clean:#7d8998;--attacked:#e0706b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.55;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:0 24px 48px}
header{padding:52px 0 8px}
h1{font-size:clamp(1.75rem,4.4vw,2.75rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 12px;text-wrap:balance}
h2{font-size:1.35rem;letter-spacing:-.01em;margin:52px 0 6px}
p{margin:6px 0 14px;max-width:74ch}
.lead{font-size:1.1rem;color:var(--soft)}
.mark{font-weight:600;font-size:.85rem;letter-spacing:.06em;color:var(--purified);margin:0 0 14px}
.soft,figcaption,small{color:var(--soft);font-size:.88rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px}
.scroll{overflow-x:auto}
.way{display:grid;grid-template-columns:repeat(5,1fr);gap:18px}
.opening{margin-top:26px}
.way figure,.row figure{margin:0;min-width:0}
.way figcaption strong{display:block;color:var(--ink);font-size:.95rem;margin-top:8px}
img{width:100%;aspect-ratio:1;display:block;border-radius:8px;background:var(--line)}
img.pixels{image-rendering:pixelated}
.badge{display:inline-block;border-radius:7px;padding:2px 9px;font-size:.86rem;font-weight:600;margin-top:6px;
overflow-wrap:anywhere}
.badge span{font-weight:400}
.good{color:var(--good);background:var(--good-tint)}
.bad{color:var(--bad);background:var(--bad-tint)}
.note{color:var(--note);background:var(--note-tint)}
.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:16px;margin-top:20px}
.figures .card{padding:18px 20px}
.figures b{display:block;font-size:2rem;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.25}
.figures small{display:block}
.rows{display:grid;grid-template-columns:1fr 1fr;gap:16px}
.row{padding:16px}
.row h3{font-size:1rem;margin:0 0 10px;display:flex;flex-wrap:wrap;justify-content:space-between;gap:8px}
.row h3 .badge{margin:0}
.row>div{display:grid;grid-template-columns:repeat(4,1fr);gap:10px}
.row .badge{font-size:.76rem;padding:1px 6px;line-height:1.4}
.row figcaption{font-size:.8rem;margin-top:4px}
.chart{width:100%;min-width:460px;max-width:840px;height:auto;display:block;margin:0 auto}
.chart text{font-size:13px;fill:var(--soft);text-anchor:middle}
.chart .strong{fill:var(--ink);font-weight:600}.chart .value{fill:var(--ink);font-weight:600}
.chart .tick{text-anchor:end;font-size:12px}
.chart .grid{stroke:var(--line)}.chart .whisker{stroke:var(--ink);stroke-width:1.5;fill:none;opacity:.75}
.chart .victim{fill:var(--victim)}.chart .purified{fill:var(--purified)}
.chart .clean{fill:var(--clean)}.chart .attacked{fill:var(--attacked)}.chart .see-through{opacity:.72}
.key{display:flex;flex-wrap:wrap;gap:6px 20px;font-size:.88rem;color:var(--soft);margin-bottom:10px}
.key i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:7px;vertical-align:-1px}
table{border-collapse:collapse;width:100%;min-width:540px;font-size:.93rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:9px 14px 9px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>*{border-bottom:0}
td.number,th.number{text-align:right}
td .badge{margin:0;white-space:nowrap}
.limits{border-left:4px solid var(--note)}
.limits ul{margin:0;padding-left:20px}.limits li{margin:6px 0}
code{font-size:.86em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 22px;margin:0;font-size:.92rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:760px){main{padding:0 16px 40px}header{padding-top:30px}.rows{grid-template-columns:1fr}
.figures{grid-template-columns:1fr 1fr}.way{grid-template-columns:1fr 1fr;gap:14px}.card{padding:16px}
.figures b{font-size:1.6rem}dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:10px}.row>div{grid-template-columns:1fr 1fr}th,td{padding-right:10px}}
"""
