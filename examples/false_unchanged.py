"""A false "unchanged": an agent is told that its copy is current, when the text is gone or old.

python examples/false_unchanged.py
"""

from coherence import Workspace


def without() -> None:
    """A cache that remembers what it *sent*, not what is still in the model's context."""
    shared = {"spec.md": "The limit is 10.\n"}
    sent: dict[str, str] = {}

    def read(name: str) -> str:
        if sent.get(name) == shared[name]:
            return f"[{name} is unchanged]"
        sent[name] = shared[name]
        return shared[name]

    context = [read("spec.md")]
    context.clear()  # the conversation was summarised to make room
    context.append(read("spec.md"))
    print("in the model's context:", context)


def within() -> None:
    """Only the caller knows its context, so only the caller says what is in it."""
    with Workspace() as workspace:
        writer, reader = workspace.agent("writer"), workspace.agent("reader")
        lines = [f"Rule {number} holds.\n" for number in range(1, 31)]
        writer.write("spec.md", "".join(lines))
        view = reader.read("spec.md")
        has = view.ref
        print("first: ", view.cost_tokens, "tokens")
        print("again: ", reader.read("spec.md", have=has).for_prompt())
        lines[6] = "Rule 7 holds on weekdays.\n"
        writer.write("spec.md", "".join(lines))
        print("later: ", reader.read("spec.md", have=has).for_prompt())
        reader.forget()  # the conversation was summarised to make room
        view = reader.read("spec.md", have=has)
        print("after forget():", view.served, "-", view.cost_tokens, "tokens, all of it")


if __name__ == "__main__":
    print("Without a workspace: a line about a text that is not there.\n")
    without()
    print("\nWith one:\n")
    within()
