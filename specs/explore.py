"""Walk a state space step by step: in the terminal, or on one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import msgspec

from message_passing.console import terminal_width
from specs.checker.chart import text_chart
from specs.checker.composite import Composite
from specs.checker.enabled import bound
from specs.checker.model import Action, Model
from specs.checker.result import Moment, Path
from specs.checker.search import (
    DECIDED,
    judge,
    judge_step,
    judged_in_steps,
    truth,
)

HELP = "a number takes that action, b goes back, c draws the chart so far, q ends"


class Walk:
    """A place in a state space and how it was reached."""

    def __init__(self, model: Model[Any, Any] | Composite[Any]) -> None:
        self.model = bound(model.model() if isinstance(model, Composite) else model)
        self._slots = model.slots if isinstance(model, Composite) else None
        self.trail = [Moment(None, self.model.initial[0])]

    @property
    def path(self) -> Path:
        """The path to this state."""
        return Path(tuple(self.trail))

    def lines(self) -> Iterator[str]:
        """The state, its violated properties, and its enabled actions."""
        state = self.trail[-1].state
        yield f"step {len(self.trail) - 1}"
        yield from (f"  {line}" for line in self.described(state))
        for prop in self.model.properties:
            if prop.kind == "always" and judge(prop, self.model.seen(state)) == DECIDED:
                yield f"  VIOLATED {prop.name!r}"
        within = self.model.within
        if within is not None and not truth(within, self.model.seen(state), "`within`"):
            yield "  outside `within`: a check does not go on from here"
        if len(self.trail) > 1 and self.trail[-2].state != state:
            step = self.model.seen(self.trail[-2].state), self.trail[-1].action or Action("")
            for prop in judged_in_steps(self.model.properties):
                if judge_step(prop, *step, self.model.seen(state)) == DECIDED:
                    yield f"  VIOLATED {prop.name!r} by {step[1]}"
        following = self.model.successors(state)
        for number, (action, _) in enumerate(following, 1):
            yield f"  {number:3} {action}"
        if not following:
            yield "  nothing is enabled"

    def described(self, state: Any) -> list[str]:
        """A state; of a composite state, only the slots that differ from the initial state."""
        if self._slots is None:
            return [repr(state)]
        first = self.model.initial[0]
        return [
            f"{name} = {value!r}"
            for name, value, initially in zip(self._slots, state, first, strict=True)
            if value != initially or "->" not in name
        ]

    def take(self, number: int) -> bool:
        """Take the action with this number, from 1; False if it does not exist."""
        following = self.model.successors(self.trail[-1].state)
        if not 1 <= number <= len(following):
            return False
        self.trail.append(Moment(*following[number - 1]))
        return True

    def back(self) -> None:
        """Undo the last step."""
        if len(self.trail) > 1:
            self.trail.pop()


def explore(
    model: Model[Any, Any] | Composite[Any],
    ask: Callable[[str], str],
    say: Callable[[str], None],
) -> Path:
    """Walk as the answers of `ask` say, until "q" or the end of input; return the path."""
    walk = Walk(model)
    say(HELP)
    while True:
        say("\n".join(walk.lines()))
        try:
            answer = ask("> ").strip()
        except EOFError:
            return walk.path
        if answer == "q":
            return walk.path
        if answer == "b":
            walk.back()
        elif answer == "c":
            say(text_chart(walk.path, terminal_width()))
        elif not (answer.isdecimal() and walk.take(int(answer))):
            say(HELP)


def page(model: Model[Any, Any] | Composite[Any], states_max: int = 2_000) -> tuple[str, bool]:
    """One HTML page that walks the first `states_max` states, in breadth-first order.

    The second part tells whether the page has all states.
    """
    walk = Walk(model)
    plain = walk.model
    numbers: dict[Any, int] = {}
    order: list[Any] = []
    for state in plain.initial:
        if state not in numbers:
            numbers[state] = len(order)
            order.append(state)
    data = []
    whole = True
    for state in order:
        edges: list[list[Any]] = []
        for action, target in plain.successors(state):
            if target not in numbers and len(order) < states_max:
                numbers[target] = len(order)
                order.append(target)
            about = [action.process, action.kind, action.peer, str(action.subject)]
            edges.append([str(action), numbers.get(target, -1), *about])
            whole = whole and target in numbers
        violated = [
            prop.name
            for prop in plain.properties
            if prop.kind == "always" and judge(prop, plain.seen(state)) == DECIDED
        ]
        data.append([walk.described(state), edges, violated])
    # A closing tag inside a string would end the script.
    encoded = msgspec.json.encode(data).decode().replace("</", "<\\/")
    made = PAGE.replace("$NAME", escape(plain.name))
    return made.replace("$WHOLE", "" if whole else "the first ").replace("$DATA", encoded), whole


PAGE = """<!doctype html>
<meta charset="utf-8"><title>$NAME</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem }
button { display: block; width: 100%; text-align: left; margin: .2rem 0; font: inherit }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: .7rem }
.bad { color: #a00; font-weight: bold } ol { padding-left: 2.5rem } li { cursor: pointer }
table { border-collapse: collapse } td, th { padding: .1rem .8rem; border-left: 1px solid #bbb }
</style>
<h1>$NAME</h1>
<p id="where"></p>
<main>
<section><h2>State</h2><pre id="state"></pre><p id="bad" class="bad"></p>
<h2>Enabled</h2><div id="enabled"></div></section>
<section><h2>Path</h2><ol id="path" start="0"></ol>
<h2>Chart</h2><table id="chart"></table></section>
</main>
<script>
const states = $DATA;
let path = [[0, null]];
const $ = id => document.getElementById(id);
function make(tag, text, onclick) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (onclick) node.onclick = onclick;
  return node;
}
function show() {
  const here = path[path.length - 1][0], [lines, edges, bad] = states[here];
  $("where").textContent =
    `state ${here} of $WHOLE${states.length}, ${path.length - 1} steps from the start`;
  $("state").textContent = lines.join("\\n");
  $("bad").textContent = bad.map(name => "violated: " + name).join(", ");
  $("enabled").replaceChildren(...edges.map(edge => {
    const node = make("button", edge[0] + (edge[1] === here ? "  (changes nothing)" : ""),
                      () => { path.push([edge[1], edge]); show(); });
    if (edge[1] < 0) { node.disabled = true; node.textContent += "  (beyond this page)"; }
    return node;
  }));
  if (!edges.length) $("enabled").textContent = "nothing";
  $("path").replaceChildren(...path.map(([_, edge], i) =>
    make("li", edge ? edge[0] : "initially", () => { path = path.slice(0, i + 1); show(); })));
  chart();
}
function chart() {
  const steps = path.slice(1).map(item => item[1]), names = [];
  for (const [, , process, , peer] of steps)
    for (const name of [peer, process]) if (name && !names.includes(name)) names.push(name);
  const head = document.createElement("tr");
  head.append(...names.map(name => make("th", name)));
  $("chart").replaceChildren(head, ...steps.map(([label, , process, kind, peer, subject]) => {
    const row = document.createElement("tr");
    row.append(...names.map(name => make("td",
      name === process ? "● " + label.split("(")[0]
                       : name === peer ? (kind === "drop" ? "╳ " : "→ ") + subject : "")));
    return row;
  }));
}
show();
</script>
"""
