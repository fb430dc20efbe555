"""What is looked at in a page, as scripts that the browser runs; each returns what is wrong.

By the protocol: a page's own policy lets no script in that is not ours.
"""

from __future__ import annotations

from typing import Final

WIDER: Final = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  return [...document.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > wide + 1)
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5).concat(["wider than the screen"]);
}"""
"""Elements that make a page wider than its window."""

_SEEN: Final = """
  const seen = e => e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true})
    && !e.closest('.unseen, .skip:not(:focus)')
    && getComputedStyle(e).clipPath === 'none';
  const told = e => e.outerHTML.slice(0, 140);
"""

CUT: Final = f"""() => {{{_SEEN}
  return [...document.querySelectorAll('body *:not(select, input, textarea, progress, option)')]
    .filter(e => seen(e) && /hidden|clip/.test(getComputedStyle(e).overflowX)
      && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
      && e.innerText && e.clientWidth > 1).map(told).slice(0, 5);
}}"""
"""Elements whose text is cut off."""

OVERLAPPING: Final = f"""() => {{{_SEEN}
  const all = [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary')].filter(seen);
  const boxes = all.map(e => [...e.getClientRects()].filter(r => r.width > 2 && r.height > 2));
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const found = [];
  for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {{
    if (all[i].contains(all[j]) || all[j].contains(all[i])) continue;
    if (boxes[i].some(a => boxes[j].some(b => meet(a, b)))) found.push(told(all[i]), told(all[j]));
  }}
  return found.slice(0, 4);
}}"""
"""Pairs of controls that lie on one another."""

_COLOURS: Final = """
  const parts = text => { const n = text.match(/[\\d.]+/g).map(Number);
    return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045
    ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m);
    return (x + .05) / (y + .05); };
  const grounds = new Map([[null, [255, 255, 255]]]);
  const ground = e => {
    if (!grounds.has(e)) grounds.set(
      e, over(parts(getComputedStyle(e).backgroundColor), ground(e.parentElement)));
    return grounds.get(e); };
"""

PALE: Final = f"""() => {{{_SEEN}{_COLOURS}
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {{
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !seen(e) || e.closest(':disabled, option')) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const under = ground(e), is = ratio(over(parts(style.color), under), under);
    if (is < (large ? 3 : 4.5)) found.push(is.toFixed(2) + ' ' + told(e));
  }}
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {{
    if (!seen(e) || /radio|checkbox|file/.test(e.type)) continue;
    const under = ground(e.parentElement), line = parts(getComputedStyle(e).borderTopColor);
    const is = ratio(over(line, under), under);
    if (is < 3) found.push('edge ' + is.toFixed(2) + ' ' + told(e));
  }}
  return found.slice(0, 8);
}}"""
"""Text whose contrast is under 4.5 (large: 3), and edges of fields under 3 (WCAG 1.4.3, 1.4.11)."""

BARE: Final = f"""() => {{{_SEEN}
  return [...document.querySelectorAll('button, .button, .option, .door, .leave, select, textarea,'
    + ' input:not([type=hidden], [type=radio], [type=checkbox], [type=file])')].filter(e => {{
      const style = getComputedStyle(e);
      return seen(e) && (style.borderTopStyle === 'none' || parseFloat(style.borderTopWidth) < 1)
        && !/underline/.test(style.textDecorationLine);
    }}).map(told).slice(0, 5);
}}"""
"""Controls that nobody could tell from text when the system's colours take the place of ours."""

MOVING: Final = """() => [...document.querySelectorAll('*')].filter(e => {
    const style = getComputedStyle(e);
    return (parseFloat(style.transitionDuration) > 0 && style.transitionProperty !== 'none')
      || style.animationName !== 'none' || style.scrollBehavior === 'smooth';
  }).map(e => e.outerHTML.slice(0, 140)).concat(
    document.getAnimations().map(a => 'an animation ' + a.id)).slice(0, 5)"""
"""What moves although the reader asked for no motion."""

PRINTED: Final = """() => [...document.querySelectorAll(
    '.top, .foot, .skip, .leave, .buttons, button, .unprinted')]
  .filter(e => e.checkVisibility()).map(e => e.outerHTML.slice(0, 140)).slice(0, 5)"""
"""What paper has no use for and is printed all the same."""

TEXT: Final = "() => document.title + ' ' + document.body.innerText"

BANGLA: Final = """() => {
  if (document.documentElement.lang !== 'bn') return '';
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    const text = walk.currentNode.data;
    if (e.checkVisibility() && !e.closest('[lang=en], code, pre, textarea, .said')
      && !/invented|made-up|example/i.test(text)) found.push(text);
  }
  return found.join(' ');
}"""
"""What a Bangla page says, without what stands there as code or in somebody's own words
(which say of themselves, in a test, that they are invented)."""

INLINE: Final = (
    "() => [...document.querySelectorAll("  # a picture leaves empty ones behind
    "'[style]:not([style=\"\"]), style, script:not([src]), [onclick]')]"
    ".map(e => e.outerHTML.slice(0, 120))"
)

AXE: Final = """async colours => {
  const rules = colours ? ["color-contrast", "link-in-text-block"]
    : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations.map(
    v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 160)).join(" | "));
}"""
