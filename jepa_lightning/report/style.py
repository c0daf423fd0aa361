"""How the page looks: light and dark, wide and narrow, and on paper."""

from jepa_lightning.report.pictures import SHOWN

# by the place of a picture among those of its name: which one is seen, and which step is marked
_FILMS = "\n".join(
    f".film>input:nth-of-type({place}):checked~.frames>figure:nth-of-type({place}){{display:block}}\n"
    f".film>input:nth-of-type({place}):checked~.strip>label:nth-of-type({place})"
    "{background:var(--ink);color:var(--page);border-color:var(--ink)}\n"
    f".film>input:nth-of-type({place}):focus-visible~.strip>label:nth-of-type({place})"
    "{outline:3px solid var(--c0);outline-offset:2px}"
    for place in range(1, SHOWN + 1)
)

STYLE = (
    """
:root{color-scheme:light dark;
--page:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#565d66;--line:#dfe3e8;--grid:#e9ecf0;
--good:#0b7a4b;--bad:#b3261e;--bad-back:#fdecea;--same:#565d66;
--c0:#0b62c4;--c1:#c2540a;--c2:#0a7d5a;--c3:#a3358a;--c4:#7a5b00;--c5:#4a4fc4}
@media (prefers-color-scheme:dark){:root{
--page:#101317;--card:#191d23;--ink:#eceff3;--soft:#a3acb8;--line:#2e353e;--grid:#272d35;
--good:#5fd39b;--bad:#ff9088;--bad-back:#3b1715;--same:#a3acb8;
--c0:#6cb0ff;--c1:#ffa057;--c2:#4fd0a3;--c3:#ec8fd4;--c4:#e3c04c;--c5:#a5a9ff}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:break-word}
header,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:28px}
h1{font-size:clamp(1.5rem,1.1rem + 1.8vw,2.1rem);line-height:1.15;margin:0 0 4px;letter-spacing:-.015em}
h2{font-size:1.25rem;margin:0 0 14px;letter-spacing:-.01em}
h3{font-size:1rem;margin:26px 0 10px;color:var(--soft);font-weight:600}
p{margin:0 0 8px}.soft,.note{color:var(--soft)}.note{font-size:.875rem}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 0 0;font-size:.9375rem}
a{color:var(--c0)}
a:focus-visible,summary:focus-visible,.scrolls:focus-visible{outline:3px solid var(--c0);outline-offset:2px}
section{margin:34px 0 0;scroll-margin-top:12px}
figure{margin:0}ul{list-style:none;margin:0;padding:0}i{font-style:normal}
.card,.chart,.film,.gains,details,.scrolls{background:var(--card);border:1px solid var(--line);border-radius:10px}
.verdict{margin-top:22px;padding:20px 24px;border-left:8px solid var(--same)}
.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}
.verdict h2{font-size:.8125rem;text-transform:uppercase;letter-spacing:.06em;color:var(--soft);margin:12px 0 2px}
.verdict h2:first-child{margin-top:0}
.verdict p{font-size:1.0625rem;margin:0 0 2px}.verdict p.first{font-size:1.375rem;line-height:1.3;font-weight:650}
p.good.first{color:var(--good)}p.bad{color:var(--bad)}p.same{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin:12px 0 0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tiles dt{font-size:.8125rem;color:var(--soft)}
.tiles dd{margin:0;font-size:1.3125rem;font-weight:650;font-variant-numeric:tabular-nums}
.tiles .bad{background:var(--bad-back)}.tiles .bad dd{color:var(--bad)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:16px;align-items:start}
.gains{padding:16px 20px;container-type:inline-size}.gains figcaption{margin-bottom:6px}
.key{display:flex;flex-wrap:wrap;gap:2px 18px;margin:2px 0 0;font-size:.8125rem;color:var(--soft)}
.key span{display:inline-flex;align-items:center;gap:7px}
.gains li{display:grid;grid-template-columns:7.5em 1fr 8.6em 3.6em;gap:0 12px;align-items:center;padding:7px 0;
border-top:1px solid var(--grid);font-variant-numeric:tabular-nums}
.gains .numbers{text-align:right;color:var(--soft);font-size:.875rem;white-space:nowrap}
.gains .added{text-align:right;white-space:nowrap}
.good .added{color:var(--good)}.bad .added{color:var(--bad)}.same .added{color:var(--soft)}
.track{position:relative;height:22px;margin:0 8px;
background:linear-gradient(var(--line),var(--line)) center/100% 2px no-repeat}
.track i{position:absolute;top:50%;transform:translate(-50%,-50%)}
.track .bar{transform:translateY(-50%);height:6px;border-radius:3px;background:var(--same)}
.good .bar,.good .after{background:var(--good)}.bad .bar,.bad .after{background:var(--bad)}
.tick{width:3px;height:18px;background:var(--soft);border-radius:1px}
.before{width:13px;height:13px;border-radius:50%;background:var(--card);border:2.5px solid var(--soft)}
.after{width:14px;height:14px;border-radius:50%;background:var(--same)}
.scrolls{overflow-x:auto;margin-top:16px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9375rem}
caption{text-align:left;font-weight:650;padding:12px 20px 4px}
th,td{padding:7px 14px;text-align:right;white-space:nowrap;border-top:1px solid var(--grid)}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:.8125rem}
th:first-child{text-align:left;padding-left:20px;font-weight:500}
tbody th{position:sticky;left:0;background:var(--card)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:14px}
.chart{padding:12px 12px 4px;break-inside:avoid}
.chart figcaption{padding:0 4px;font-size:.9375rem}
.chart ul{display:flex;flex-wrap:wrap;gap:0 14px;font-size:.8125rem;color:var(--soft);min-height:1.5em}
.chart li{display:inline-flex;align-items:center;gap:5px}
.chart li span{color:var(--ink);font-variant-numeric:tabular-nums;font-weight:600}
.chart li i{width:16px;height:0;border-top:3px solid}
svg{display:block;width:100%;height:auto}
svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg line.grid{stroke:var(--grid)}
svg path{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg circle{fill:currentColor}
svg .flat path{stroke-width:1.6;stroke-dasharray:5 4}svg .flat.raw path{stroke-dasharray:1 4}
svg .alarm line{stroke:var(--bad);stroke-width:2;stroke-dasharray:3 3}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}.c5{color:var(--c5)}
.flat{color:var(--soft)}.chart li i.flat{border-top:2px dashed}.chart li i.flat.raw{border-top:3px dotted}
.none{color:var(--soft);padding:20px 4px}
.alarms li{background:var(--bad-back);margin-top:8px;
border-left:5px solid var(--bad);border-radius:6px;padding:10px 16px}
.gallery{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));align-items:start}
.film.wide{grid-column:1/-1}
.film{margin:0;padding:14px 18px 16px;min-width:0;position:relative}
.film legend{float:left;width:100%;font-weight:650;padding:0 0 8px}
.film legend~*{clear:left}
.film>input{position:absolute;opacity:0;pointer-events:none}
.strip{display:flex;flex-wrap:wrap;gap:6px;align-items:center;margin-bottom:10px;font-size:.875rem;color:var(--soft)}
.strip label{cursor:pointer;border:1px solid var(--line);border-radius:99px;padding:3px 12px;color:var(--ink);
font-variant-numeric:tabular-nums}
.frames>figure{display:none}.frames>figure:only-child{display:block}
.frames img{display:block;max-width:100%;height:auto;border-radius:4px;background:#fff}
.frames figcaption{color:var(--soft);font-size:.8125rem;margin-top:4px}
"""
    + _FILMS
    + """
details{margin-top:12px}summary{cursor:pointer;padding:12px 18px;font-weight:600}
details>:not(summary){margin:0 18px 16px}
pre{margin:0;overflow:auto;max-height:32rem;padding:14px 16px;background:var(--page);border:1px solid var(--line);
border-radius:8px;font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;tab-size:2}
.commands pre{margin-top:8px;background:var(--card);white-space:pre-wrap}
.facts{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:6px 18px}
.facts>div{display:grid;grid-template-columns:minmax(7em,12em) 1fr;gap:0 16px;padding:6px 0;
border-top:1px solid var(--grid)}
.facts>div:first-child{border-top:0}.facts dt{color:var(--soft)}
.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
footer{padding-top:28px;padding-bottom:36px;color:var(--soft);font-size:.875rem}
@container (max-width:600px){.gains li{grid-template-columns:1fr auto 3.6em}.gains .track{grid-column:1/-1;grid-row:2}}
@media (max-width:640px){
header,main,footer{padding-left:16px;padding-right:16px}header{padding-top:20px}
section{margin-top:28px}.verdict{padding:16px 16px 16px 14px}.verdict p.first{font-size:1.1875rem}
.tiles{grid-template-columns:repeat(3,1fr);gap:8px}.tiles div{padding:8px 10px}.tiles dd{font-size:1.0625rem}
.gains{padding:14px}
.film{padding:12px}.facts>div{grid-template-columns:1fr}}
@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd;--good:#0b7a4b;--bad:#b3261e;
--same:#444;--bad-back:#fdecea;--c0:#0b62c4;--c1:#c2540a;--c2:#0a7d5a;--c3:#a3358a;--c4:#7a5b00;--c5:#4a4fc4;color-scheme:light}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:11pt}nav,.strip{display:none}header,main,footer{max-width:none;padding-left:0;padding-right:0}
section,.film,.gains,.card{break-inside:avoid-page}.scrolls{overflow:visible}pre{max-height:none;white-space:pre-wrap}
.charts{grid-template-columns:1fr 1fr}details::details-content{content-visibility:visible}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""
)
