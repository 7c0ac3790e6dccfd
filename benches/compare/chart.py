"""Charts as SVG: bars of ratios with their targets, and lines. No fonts, no scripts, nothing from anywhere.

Left out: what is drawn (page.py).
"""

import math
from html import escape

WIDTH = 760
DARK, LIGHT, GREY = "#102a5c", "#be5c1e", "#787878"


def text(x, y, words, anchor="start", size=13, colour="#000"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def line(x1, y1, x2, y2, colour, width=1, dash=""):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashed}/>'


def svg(height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def round_ticks(most):
    """Multiples of 1, 2 or 5 times a power of ten, from 0 to the first that is at least `most`: three to six of them."""
    raw = most / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw * (1 - 1e-9))
    return [step * place for place in range(math.ceil(most / step - 1e-9) + 1)]


def ratios(title, bars):
    """Bars of (name, median, low, high, target or None) on a logarithmic axis."""
    left, right, step = 400, WIDTH - 60, 34
    most = max(max(high, target or 0) for _, _, _, high, target in bars) * 1.2
    least = min(0.5, min(low for _, _, low, _, _ in bars) * 0.8)
    x = lambda value: left + (math.log(value) - math.log(least)) / (math.log(most) - math.log(least)) * (right - left)
    height = 108 + step * len(bars)
    parts = [text(WIDTH / 2, 24, title, "middle", 17)]
    for tick in [0.5, 1, 2, 5, 10, 20, 50, 100]:
        if least <= tick <= most:
            parts += [line(x(tick), 40, x(tick), height - 58, "#d7d7d7"), text(x(tick), height - 40, f"{tick:g}x", "middle")]
    for place, (name, median, low, high, target) in enumerate(bars):
        y = 58 + step * place
        parts += [text(left - 8, y + 5, name, "end", 12), f'<rect x="{left}" y="{y - 8}" width="{max(x(median) - left, 1):.1f}" height="16" fill="{DARK}"/>']
        parts += [line(x(low), y, x(high), y, GREY, 2), text(right + 4, y + 5, f"{median:.1f}x", "start", 12)]
        if target:
            parts.append(line(x(target), y - 13, x(target), y + 13, LIGHT, 3))
    # The legend, one mark for each thing drawn.
    y, size = height - 14, 11
    parts += [f'<rect x="{left}" y="{y - 8}" width="20" height="10" fill="{DARK}"/>', text(left + 26, y, "median", size=size)]
    parts += [line(left + 80, y - 3, left + 100, y - 3, GREY, 2), text(left + 106, y, "lowest to highest round", size=size)]
    parts += [line(left + 250, y - 9, left + 250, y + 3, LIGHT, 3), text(left + 256, y, "target", size=size)]
    return svg(height, parts)


def lines(title, x_name, y_name, series):
    """Lines of (name, points), at most three."""
    left, right, top, bottom = 70, WIDTH - 30, 60, 340
    points = [point for _, found in series for point in found]
    x_ticks, y_ticks = round_ticks(max(x for x, _ in points) or 1), round_ticks(max(y for _, y in points) or 1)
    x = lambda value: left + value / x_ticks[-1] * (right - left)
    y = lambda value: bottom - value / y_ticks[-1] * (bottom - top)
    parts = [text(WIDTH / 2, 24, title, "middle", 17), text((left + right) / 2, 384, x_name, "middle"), text(left, 48, y_name)]
    parts += [text(x(tick), bottom + 20, f"{tick:g}", "middle") for tick in x_ticks]
    for tick in y_ticks:
        parts += [line(left, y(tick), right, y(tick), "#d7d7d7"), text(left - 6, y(tick) + 4, f"{tick:g}", "end")]
    for place, ((name, found), (colour, dash)) in enumerate(zip(series, [(DARK, ""), (LIGHT, "8 4"), (GREY, "2 4")])):
        path = " ".join(f"{x(one):.1f},{y(other):.1f}" for one, other in found)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
        parts += [f'<circle cx="{x(one):.1f}" cy="{y(other):.1f}" r="4" fill="{colour}"/>' for one, other in found]
        parts += [line(left + 20, 74 + 20 * place, left + 56, 74 + 20 * place, colour, 2, dash), text(left + 64, 78 + 20 * place, name)]
    return svg(396, parts)
