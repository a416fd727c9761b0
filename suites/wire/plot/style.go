package plot

// style is of the picture's own elements only, so that it can stand in a page. Colours
// come in pairs, and each kind has a shape of its own besides.
const style = `
.hw{--bg:#fff;--fg:#1c2733;--dim:#5b6875;--grid:#e3e8ec;--new:#34495e;--re:#c8141b;--ack:#127a3a;--win:#8a6100;--sack:#6b2fc4;--lost:#c2410c;--odd:#0b69a3;--chg:#b0186b;
background:var(--bg);color:var(--fg);font:12px/1.2 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
@media screen and (prefers-color-scheme:dark){.hw{--bg:#11171d;--fg:#dde5ec;--dim:#93a1ae;--grid:#26303a;--new:#aebdcb;--re:#ff6b6b;--ack:#4bd07f;--win:#e0b13c;--sack:#b794f6;--lost:#ff9248;--odd:#5ab8f2;--chg:#f57cc0}}
.hw text{fill:currentColor}.hw .dim{fill:var(--dim)}.hw .t{font-size:15px;font-weight:600}
.hw path,.hw line{fill:none;stroke-width:1}
.hw .bg{fill:var(--bg)}.hw .grid{stroke:var(--grid)}.hw .frame{stroke:var(--dim)}
.hw .new{stroke:var(--new);stroke-width:1.4}.hw .re{stroke:var(--re);stroke-width:2}
.hw .ack{stroke:var(--ack);stroke-width:1.4}.hw .win{stroke:var(--win);stroke-dasharray:6 3}
.hw .sack{stroke:var(--sack);stroke-width:1.6;stroke-dasharray:2 2}
.hw .lost{stroke:var(--lost);stroke-width:1.8}.hw .odd{stroke:var(--odd);stroke-width:1.4}.hw .late{stroke-dasharray:1 2}
.hw .chg{stroke:var(--chg);stroke-width:1.6}.hw .find{stroke:var(--re);stroke-width:1.2;fill:var(--bg)}.hw .bang{fill:var(--re);stroke:none;font-weight:700}
.hw .word{font-weight:600;font-size:11px}
`
