"""The page that an inspection is written into."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; --ink: #1b1f23; --soft: #57606a; --line: #d8dee4; --accent: #0072b2; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
ul { color: var(--soft); padding-left: 1.2rem; }
img { max-width: 100%; height: auto; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; }
.facts div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; }
.facts b { display: block; font-size: 1.15rem; color: var(--accent); overflow-wrap: anywhere; }
.facts span { color: var(--soft); font-size: .85rem; }
.scroll { overflow: auto; max-height: 36rem; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: #f6f8fa; }
.noted :is(th, td):is(:first-child, :last-child) { text-align: left; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
"""
