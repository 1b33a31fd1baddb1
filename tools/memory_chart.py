# SPDX-License-Identifier: MIT
"""Draws how much of a host's memory some guests have over time, as SVG: all of them on one another under the budget, and
below each by itself with the times at which it was busy. Readable on light and on dark ground."""

from html import escape

GIB = 1 << 30
COLOURS = ["#4477aa", "#ee6677", "#228833", "#b8a52f", "#48b0d0", "#aa3377"]
WIDTH, LEFT, RIGHT = 960, 70, 20
TOP, ALL_HEIGHT = 64, 300
GAP, ROW_HEIGHT, ROW_GAP = 56, 44, 14
POINTS = 400  # some for each pixel would show no more

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px }
.ground { fill: #ffffff }
.grid { stroke: #d8dee4; stroke-width: 1; fill: none }
.budget { stroke: #cf222e; stroke-width: 2; stroke-dasharray: 8 4; fill: none }
.never { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 2 3; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ground { fill: #0d1117 }
  .grid { stroke: #30363d }
  .budget { stroke: #ff7b72 }
  .never { stroke: #9da7b3 }
}
"""


def thin(samples, points=POINTS):
    """At most so many of them. Of those left out none has a greater sum than one beside it that stays: no peak is lost."""
    each = max(1, -(-len(samples) // points))
    pieces = [samples[at:at + each] for at in range(0, len(samples), each)]
    return [max(piece, key=lambda sample: sum(sample[1])) for piece in pieces]


def never_given_back(samples):
    """What the guests would have if each kept the most it ever had, at each sample."""
    most, sums = [0] * len(samples[0][1]), []
    for _, sizes in samples:
        most = [max(pair) for pair in zip(most, sizes)]
        sums.append(sum(most))
    return sums


def time_step(seconds, most=12):
    """A round distance of marks, so that there are at most so many."""
    return next(each for each in [1, 2, 5, 10, 20, 60, 120, 300, 600, 3600, 36000] if seconds / each <= most or each == 36000)


def size_step(size, most=8):
    """The same in bytes: a power of two."""
    each = 1 << 20
    while size / each > most:
        each *= 2
    return each


class Panel:
    """A part of the picture with axes of its own; `most` is at its top."""

    def __init__(self, top, height, seconds, most):
        self.top, self.height, self.seconds, self.most = top, height, seconds, most

    def x(self, seconds):
        return round(LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds, 1)

    def y(self, size):
        return round(self.top + self.height * (1 - size / self.most), 1)

    def points(self, times, sizes):
        return " ".join(f"{self.x(at):g},{self.y(size):g}" for at, size in zip(times, sizes))

    def area(self, times, sizes, colour):
        """Down to the ground: what is below is drawn over it later."""
        ground = self.points([times[-1], times[0]], [0, 0])
        return f'<polygon fill="{colour}" points="{self.points(times, sizes)} {ground}"/>'

    def line(self, kind, times, sizes):
        return f'<polyline class="{kind}" points="{self.points(times, sizes)}"/>'

    def level(self, size, label):
        y = self.y(size)
        return f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/><text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'

    def times(self):
        each = time_step(self.seconds)
        marks = [each * n for n in range(int(self.seconds / each) + 1)]
        y = self.top + self.height + 16
        return [f'<text class="small" x="{self.x(at)}" y="{y}" text-anchor="middle">{at:g} s</text>' for at in marks]


def size_text(size):
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / (1 << 20):.4g} MiB" if size else "0"


def draw_all(panel, samples, budget, never):
    times = [at for at, _ in samples]
    each = size_step(panel.most)
    drawn = [panel.level(each * n, size_text(each * n)) for n in range(int(panel.most / each) + 1)]
    for index in reversed(range(len(samples[0][1]))):
        drawn.append(panel.area(times, [sum(sizes[:index + 1]) for _, sizes in samples], COLOURS[index % len(COLOURS)]))
    drawn.append(panel.line("never", times, never))
    drawn.append(panel.line("budget", [0, panel.seconds], [budget, budget]))
    drawn.append(f'<text x="{WIDTH - RIGHT - 4}" y="{panel.y(budget) - 6}" text-anchor="end">the budget, {size_text(budget)}</text>')
    return drawn + panel.times()


def draw_one(panel, name, index, samples, spans):
    times, sizes = [at for at, _ in samples], [sizes[index] for _, sizes in samples]
    colour = COLOURS[index % len(COLOURS)]
    drawn = [panel.level(0, ""), f'<text x="{LEFT - 8}" y="{panel.top + panel.height / 2 + 4}" text-anchor="end">{escape(name)}</text>']
    drawn.append(panel.area(times, sizes, colour))
    for start, end in spans:
        drawn.append(f'<rect class="busy" fill="{colour}" x="{panel.x(start)}" y="{panel.top + panel.height + 2}" '
                     f'width="{round(panel.x(end) - panel.x(start), 1)}" height="4"/>')
    return drawn


def legend(y):
    return [f'<path class="never" d="M{LEFT} {y - 4}h26"/>',
            f'<text class="small" x="{LEFT + 32}" y="{y}">if each kept the most it ever had</text>',
            f'<rect x="{LEFT + 250}" y="{y - 6}" width="26" height="4" fill="{COLOURS[0]}"/>',
            f'<text class="small" x="{LEFT + 282}" y="{y}">below a guest: it is busy</text>']


def draw(title, names, samples, busy, budget):
    """samples: (seconds, [bytes of each guest]); busy: for each guest (start, end) pairs in seconds. The picture, as text."""
    never = dict(zip((at for at, _ in samples), never_given_back(samples)))
    seconds = max(samples[-1][0], 1)
    samples = thin(samples)
    never = [never[at] for at, _ in samples]
    most = max([budget, *never]) * 1.06
    below = TOP + ALL_HEIGHT + GAP
    height = below + len(names) * (ROW_HEIGHT + ROW_GAP) + 16
    drawn = [f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>', *legend(46)]
    drawn += draw_all(Panel(TOP, ALL_HEIGHT, seconds, most), samples, budget, never)
    drawn.append(f'<text x="{LEFT}" y="{below - 16}">each by itself</text>')
    row_most = max(max(sizes) for _, sizes in samples) or 1
    for index, name in enumerate(names):
        panel = Panel(below + index * (ROW_HEIGHT + ROW_GAP), ROW_HEIGHT, seconds, row_most)
        drawn += draw_one(panel, name, index, samples, busy[index])
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
                      f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
                      f'<rect class="ground" width="{WIDTH}" height="{height}"/>', *drawn, "</svg>", ""])
