"""Temporal formulas: the parser, the tableau on lassos, the product against all fair lassos."""

import itertools
import random

import networkx
import pytest

from specs import report
from specs.checker import (
    Action,
    Composite,
    Model,
    PropertyError,
    UsageError,
    Verdict,
    check,
    eventually,
    eventually_always,
    infinitely_often,
    leads_to,
    liveness,
    refines_fairly,
    strong,
    temporal,
    weak,
)
from specs.checker.chart import mermaid_chart, svg_chart, text_chart
from specs.checker.composite import Change
from specs.checker.formula import FALSE, PREFIX, TRUE, Formula, atom, holds_on, parse
from specs.checker.tableau import automaton_of

NAMES = ("p", "q", "r")
#: To compile the passes takes longer than all that they are then asked here.
COMPILED = pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["python", "compiled"]
)

# The parser.


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("p", "p"),
        ("~[]<>p", "~[]<>p"),
        ("p => <>q", "p => <>q"),
        ("[](p => <>(q /\\ []r))", "[](p => (<>(q /\\ []r)))"),
        ("p /\\ q /\\ r => p ~> q", "((p /\\ q) /\\ r) => (p ~> q)"),
        ("[]p \\/ <>q U r", "([]p \\/ <>q) U r"),
        ("  ( p )W TRUE ", "p W TRUE"),
    ],
)
def test_precedence_is_that_of_tla(text, meant):
    assert parse(text, NAMES) == parse(meant, NAMES)


def test_a_formula_is_written_as_it_is_read():
    assert str(parse("[](p => <>(q /\\ []r))", NAMES)) == "[](p => <>(q /\\ []r))"
    chance = random.Random(3)
    for _ in range(300):
        formula = drawn_formula(chance, 3)
        assert parse(str(formula), NAMES) == formula


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "an atom, ~, [], <> or ( was expected"),
        ("p /\\", 5, "an atom, ~, [], <> or ( was expected"),
        ("p q", 3, "an operator or the end was expected"),
        ("(p => q", 8, "a ) was expected"),
        ("p => q => r", 8, "=> and => need parentheses"),
        ("p /\\ q \\/ r", 8, "/\\ and \\/ need parentheses"),
        ("p ~> q U r", 8, "~> and U need parentheses"),
        ("[]wrong", 3, "no atom has this name; there are: p, q, r"),
        ("[](p => X q)", 9, "there is no next-state operator"),
        ("p' = q", 2, "there is no next-state operator"),
        ("G p", 1, "write []"),
        ("p && q", 3, "write /\\"),
        ("p -> q", 3, "write =>"),
        ("!p", 1, "write ~"),
        ("ENABLED p", 1, "enabled('Action')"),
        ("p $ q", 3, "an operator or the end was expected"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text, column, says):
    with pytest.raises(PropertyError) as caught:
        parse(text, NAMES)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(f"at column {column}")
    assert lines[1:3] == [f"  {text}", "  " + " " * (column - 1) + "^"]
    assert says in lines[3]


def test_atoms_and_formula_must_fit():
    with pytest.raises(PropertyError, match="does not use q"):
        temporal("x", "[]p", p=bool, q=bool)
    with pytest.raises(PropertyError, match="atom 'p' of property 'x' is not a predicate"):
        temporal("x", "[]p", p=1)


# The tableau.


def drawn_formula(chance, depth):
    if not depth or chance.random() < 0.2:
        return chance.choice([atom("p"), atom("q"), atom("r"), atom("p"), atom("q"), TRUE, FALSE])
    operator = chance.choice(["~", "[]", "<>", "U", "W", "~>", "/\\", "\\/", "=>", "<=>"])
    operands = 1 if operator in PREFIX else 2
    return Formula(operator, tuple(drawn_formula(chance, depth - 1) for _ in range(operands)))


def accepts(automaton, states, loop):
    """Whether an automaton accepts a lasso, by the components of their product."""

    def fits(place, node):
        letter = {name for name, is_true in states[place].items() if is_true}
        node = automaton.nodes[node]
        return node.true <= letter and not node.false & letter

    graph = networkx.DiGraph()
    todo = [(0, node) for node in automaton.initial if fits(0, node)]
    graph.add_nodes_from(todo)
    while todo:
        place, node = todo.pop()
        after = place + 1 if place + 1 < len(states) else loop
        for following in automaton.following[node]:
            if fits(after, following):
                if (after, following) not in graph:
                    todo.append((after, following))
                graph.add_edge((place, node), (after, following))
    return any(
        all(
            any(automaton.nodes[node].kept[k] for _, node in part)
            for k in range(automaton.promises)
        )
        for part in networkx.strongly_connected_components(graph)
        if graph.subgraph(part).number_of_edges()
    )


@pytest.mark.slow
def test_an_automaton_accepts_the_lassos_that_satisfy_its_formula():
    chance = random.Random(1)
    for _ in range(250):
        formula = drawn_formula(chance, chance.choice((1, 2, 2, 3)))
        automaton, negation = automaton_of(formula), automaton_of(Formula("~", (formula,)))
        for _ in range(6):
            states = [
                {name: chance.random() < 0.5 for name in NAMES} for _ in range(chance.randint(1, 5))
            ]
            loop = chance.randrange(len(states))
            holds = holds_on(formula, states, loop)
            assert accepts(automaton, states, loop) == holds, (str(formula), states, loop)
            assert accepts(negation, states, loop) != holds, (str(formula), states, loop)


def test_formulas_do_not_see_stuttering():
    chance = random.Random(2)
    for _ in range(300):
        formula = drawn_formula(chance, 3)
        states = [{name: chance.random() < 0.5 for name in NAMES} for _ in range(4)]
        loop, again = chance.randrange(4), chance.randrange(4)
        repeated = states[: again + 1] + states[again:]
        shifted = loop + (again < loop)
        assert holds_on(formula, states, loop) == holds_on(formula, repeated, shifted)


@pytest.mark.parametrize(
    ("text", "nodes", "negated"),
    [
        ("[]p", 1, 3),
        ("<>p", 3, 1),
        ("[]<>p", 2, 2),
        ("<>[]p", 2, 2),
        ("p ~> q", 5, 3),
        ("p U q", 3, 3),
    ],
)
def test_small_formulas_have_small_automata(text, nodes, negated):
    formula = parse(text, NAMES)
    assert len(automaton_of(formula).nodes) == nodes
    assert len(automaton_of(Formula("~", (formula,))).nodes) == negated


# The product.


def drawn_graph(chance, *properties, formula=None):
    """A random model of up to four states, with what an oracle needs of it."""
    size = chance.randint(1, 4)
    edges = sorted(
        {
            (chance.randrange(size), chance.choice("ab"), chance.randrange(size))
            for _ in range(chance.randint(0, 6))
        }
    )
    beyond = {s for s in range(size) if chance.random() < 0.3} if chance.random() < 0.5 else set()
    edges = [edge for edge in edges if edge[0] not in beyond]
    fairness = [
        (strong if chance.random() < 0.5 else weak)(name)
        for name in {name for _, name, _ in edges}
        if chance.random() < 0.6
    ]
    sets = {name: {s for s in range(size) if chance.random() < 0.5} for name in NAMES}
    return size, edges, fairness, sets, beyond


def model_of(graph, *properties):
    size, edges, fairness, _, beyond = graph
    return Model(
        "drawn",
        [0, size - 1],
        lambda state: [(name, after) for before, name, after in edges if before == state],
        properties,
        fairness=fairness,
        terminal=lambda state: True,
        within=lambda state: state not in beyond,
        alphabet=frozenset("ab"),
    )


def is_fair(graph, states, taken):
    """Whether a loop through some states that takes some actions neglects none, by definition."""
    _, edges, fairness, *_ = graph
    on = [{name for s, name, t in edges if s == state and s != t} for state in states]
    for condition in fairness:
        (name,) = {name for _, name, _ in edges if condition.key(Action(name))}
        owed = any if condition.strong else all
        if owed(name in each for each in on) and name not in taken:
            return False
    return True


def fair_lassos(graph, steps):
    """All fair lassos of at most so many steps: states, and where the loop begins.

    A behaviour that leaves the bounds rests where it is.
    """
    size, edges, *_ = graph
    walks = [([start], []) for start in {0, size - 1}]
    while walks:
        states, labels = walks.pop()
        if is_fair(graph, states[-1:], ()):
            yield states, len(states) - 1
        for loop, state in enumerate(states[:-1]):
            if state == states[-1] and is_fair(graph, states[loop:], labels[loop:]):
                yield states[:-1], loop
        if len(labels) < steps:
            walks += [
                ([*states, after], [*labels, name])
                for before, name, after in edges
                if before == states[-1] and after != before
            ]


def valued(sets, states):
    return [{name: state in sets[name] for name in NAMES} for state in states]


def judged(graph, path, formula):
    """Whether a path is a fair lasso of a graph and refutes a formula."""
    _, edges, _, sets, beyond = graph
    states = [moment.state for moment in path.moments]
    for (before, after), action in zip(itertools.pairwise(states), path.actions, strict=True):
        assert (before, action.name, after) in edges
    assert states[0] in model_of(graph).initial
    if path.loop is None:
        assert states[-1] in beyond
        return not holds_on(formula, valued(sets, states), len(path))
    assert not beyond & set(states)
    closed = path.loop < len(path)
    assert not closed or states[-1] == states[path.loop]
    taken = {action.name for action in path.actions[path.loop :]} if closed else ()
    assert is_fair(graph, states[path.loop :], taken)
    return not holds_on(formula, valued(sets, states[:-1] if closed else states), path.loop)


@COMPILED
def test_random_formulas_agree_with_all_short_lassos(compiled, monkeypatch):
    if compiled:
        monkeypatch.setattr(liveness, "COMPILED_FROM", 0)
    chance = random.Random(4)
    verdicts = []
    for _ in range(400):
        graph, formula = drawn_graph(chance), drawn_formula(chance, chance.choice((1, 2, 3)))
        sets = graph[3]
        atoms = {
            name: lambda s, name=name, sets=sets: s in sets[name] for name in set(formula.atoms())
        }
        finding = check(model_of(graph, temporal("claim", str(formula), **atoms))).finding("claim")
        verdicts.append(finding.verdict)
        if finding.verdict is not Verdict.HOLDS:
            assert judged(graph, finding.path, formula), (graph, str(formula))
        wrong = {
            states[-1] in graph[4]
            for states, loop in fair_lassos(graph, 6)
            if not holds_on(formula, valued(sets, states), loop)
        }
        assert finding.verdict is Verdict.VIOLATED or False not in wrong, (graph, str(formula))
        assert finding.verdict is not Verdict.HOLDS or not wrong, (graph, str(formula))
    assert min(map(verdicts.count, Verdict)) > 20


@pytest.mark.slow
@COMPILED
def test_named_claims_agree_with_their_formulas(compiled, monkeypatch):
    if compiled:
        monkeypatch.setattr(liveness, "COMPILED_FROM", 0)
    chance = random.Random(6)
    violated = dict.fromkeys(range(4), 0)
    for _ in range(400):
        graph = drawn_graph(chance)
        p, q = (lambda s, of=graph[3][name]: s in of for name in "pq")
        pairs = [
            (eventually("1", p), temporal("2", "<>p", p=p)),
            (leads_to("3", p, q), temporal("4", "p ~> q", p=p, q=q)),
            (infinitely_often("5", p), temporal("6", "[]<>p", p=p)),
            (eventually_always("7", p), temporal("8", "<>[]p", p=p)),
        ]
        result = check(model_of(graph, *itertools.chain.from_iterable(pairs)))
        for place, (one, other) in enumerate(pairs):
            mine, theirs = result.finding(one.name), result.finding(other.name)
            assert (mine.verdict, mine.vacuous) == (theirs.verdict, theirs.vacuous), (graph, one)
            for finding, prop in ((mine, one), (theirs, other)):
                violated[place] += finding.verdict is Verdict.VIOLATED
                if finding.verdict is not Verdict.HOLDS:
                    names = {"good": "q" if place == 1 else "p", "when": "p"}
                    formula = renamed(prop.formula, names)
                    assert judged(graph, finding.path, formula), (graph, prop)
    assert min(violated.values()) > 50


@COMPILED
def test_random_mappings_keep_fairness_as_all_short_lassos_do(compiled, monkeypatch):
    if compiled:
        monkeypatch.setattr(liveness, "COMPILED_FROM", 0)
    chance = random.Random(8)
    verdicts = []
    for _ in range(400):
        graph, abstract = drawn_graph(chance), drawn_graph(chance)
        if not abstract[2]:
            continue
        to = [chance.randrange(abstract[0]) for _ in range(graph[0])]
        claim = refines_fairly("claim", model_of(abstract), to.__getitem__)
        finding = check(model_of(graph, claim)).finding("claim")
        verdicts.append(finding.verdict)
        if finding.verdict is Verdict.VIOLATED:
            loop = [moment.state for moment in finding.path.moments[finding.path.loop :]]
            assert neglects(abstract, [to[state] for state in loop])
            assert judged(graph, finding.path, FALSE)
        wrong = {
            states[-1] in graph[4]
            for states, loop in fair_lassos(graph, 6)
            if neglects(abstract, [to[state] for state in (*states[loop:], states[loop])])
        }
        assert finding.verdict is Verdict.VIOLATED or False not in wrong, (graph, abstract, to)
        assert finding.verdict is not Verdict.HOLDS or not wrong, (graph, abstract, to)
    assert min(map(verdicts.count, Verdict)) > 10


def neglects(abstract, loop):
    """Whether a loop of abstract states, the first one again, is unfair, by definition."""
    edges = abstract[1]
    taken = {
        name
        for before, after in itertools.pairwise(loop)
        for s, name, t in edges
        if (s, t) == (before, after) and s != t
    }
    return not is_fair(abstract, loop, taken)


def renamed(formula, names):
    if formula.operator == "atom":
        return atom(names.get(formula.name, formula.name))
    return Formula(formula.operator, tuple(renamed(each, names) for each in formula.operands))


# Claims about a small machine.


def lamp(*properties, fairness=()):
    """A lamp that is switched on and off, and that may break for ever while it is off."""

    def actions(state):
        yield from {
            "off": [("switch on", "on"), ("break", "broken")],
            "on": [("switch off", "off")],
            "broken": [],
        }[state]

    return Model("lamp", ["off"], actions, properties, fairness=fairness, terminal=lambda s: True)


def at(name):
    return lambda state: state == name


def test_again_and_again():
    both = [weak("switch on"), weak("switch off")]
    claims = [infinitely_often("on", at("on")), eventually_always("not on", lambda s: s != "on")]
    result = check(lamp(*claims, fairness=both))
    assert [finding.verdict for finding in result.findings] == [Verdict.VIOLATED] * 2
    on, off = (finding.path for finding in result.findings)
    assert (on.last, on.loop) == ("broken", 1)
    assert sorted(moment.state for moment in off.moments[off.loop : -1]) == ["off", "on"]
    either = temporal("on or broken", "[]<>on \\/ <>[]broken", on=at("on"), broken=at("broken"))
    assert check(lamp(either, fairness=both)).verdict is Verdict.HOLDS
    assert check(lamp(either)).verdict is Verdict.VIOLATED


def test_formulas_of_the_initial_state():
    claim = temporal("on first", "off => <>on", off=at("off"), on=at("on"))
    other = temporal("on", "on => <>broken", on=at("on"), broken=at("broken"))
    result = check(lamp(claim, other, fairness=[weak("switch on")]))
    assert result.finding("on first").verdict is Verdict.VIOLATED
    assert [m.state for m in result.finding("on first").path.moments] == ["off", "broken"]
    assert result.finding("on").verdict is Verdict.HOLDS
    assert result.vacuous == ("on",)


def test_vacuous_formulas():
    never = {"never": lambda state: False, "on": at("on")}
    claims = [
        temporal("1", "[](never => <>on)", **never),
        temporal("2", "never ~> on", **never),
        temporal("3", "[](on => ~never) /\\ [](never => on)", **never),
        temporal("4", "<>never => on", **never),
    ]
    assert check(lamp(*claims)).vacuous == ("1", "2", "3")


def test_reports_and_charts_of_a_formula():
    claim = temporal("stays", "[](on => []~broken)", on=at("on"), broken=at("broken"))
    result = check(lamp(claim))
    path = result.finding("stays").path
    assert [moment.state for moment in path.moments] == ["off", "on", "off", "broken"]
    assert (
        "VIOLATED      temporal 'stays': [](on => []~broken) (counterexample: 3 steps)"
        in "\n".join(report.lines(result))
    )
    assert b'"kind":"temporal"' in report.as_json(result, [])
    for chart in (text_chart, mermaid_chart, svg_chart):
        assert chart(path)


def rotor(*properties, size=4, within=None, fairness=()):
    """Two dials that turn on by themselves, as components."""

    def turn(slot, values):
        yield Change(Action("turn", "xy"[slot]), ((slot, (values[slot] + 1) % size),))

    return Composite(
        name="rotor",
        slots=["x", "y"],
        initial=[(0, 0)],
        rules=[lambda values: turn(0, values), lambda values: turn(1, values)],
        apply=lambda slot, value, operation: value,
        view=lambda values: values,
        properties=properties,
        within=within,
        fairness=fairness,
    )


@pytest.mark.parametrize(
    "engine", ["reference", "table", pytest.param("numba", marks=pytest.mark.slow)]
)
def test_every_engine_takes_formulas(engine):
    x, y = (lambda values: values[0] == 3), (lambda values: values[1] == 3)
    claims = [
        temporal("both again", "[](<>x /\\ <>y)", x=x, y=y),
        temporal("x first", "~y W x", x=x, y=y),
        infinitely_often("x", x),
        eventually_always("never y", lambda values: values[1] != 3),
    ]
    result = check(rotor(*claims, fairness=[weak("turn", each="process")]), engine=engine)
    verdicts = [finding.verdict.value for finding in result.findings]
    assert verdicts == ["HOLDS", "VIOLATED", "HOLDS", "VIOLATED"]
    assert len(result.finding("x first").path.moments) >= 4
    assert check(rotor(claims[0]), engine=engine).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("reduced", ["symmetry", "por"])
def test_reductions_refuse_formulas(reduced):
    with pytest.raises(UsageError, match="with a liveness property"):
        check(rotor(temporal("x", "[]<>x", x=bool)), **{reduced: True})


def test_what_leaves_the_bounds_is_undetermined():
    fair = [weak("turn", each="process")]

    def inside(values):
        return values[0] < 3

    top = temporal("top", "<>top", top=lambda values: values[0] == 3 and values[1] == 3)
    result = check(rotor(top, within=inside, fairness=fair))
    assert result.finding("top").verdict is Verdict.UNDETERMINED
    low = temporal("low", "[](low => <>low)", low=lambda values: values[1] == 0)
    assert check(rotor(low, within=inside, fairness=fair)).finding("low").verdict is Verdict.HOLDS
    safe = temporal("safe", "[]~far", far=lambda values: values[0] > 3)
    assert check(rotor(safe, within=inside, fairness=fair)).finding("safe").verdict is Verdict.HOLDS
    stuck = temporal("stuck", "[]<>two", two=lambda values: values[1] == 2)
    result = check(rotor(stuck, within=inside))
    assert result.finding("stuck").verdict is Verdict.VIOLATED
