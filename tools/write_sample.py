"""Write the sample that `xturing quickstart` trains on: support tickets and their JSON.

    uv run python tools/write_sample.py
    uv run python tools/write_sample.py --rows 5000 --kind preferences --output demo

Every ticket is put together from the word lists below by a seeded generator, so the
files can be made again bit for bit. Held-out tickets never repeat a training ticket.
With a folder of another name and more rows, other kinds of them too, it is demo data.
"""

import argparse
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parents[1] / "apps/xturing-cli/src/xturing/cli/sample"
SEED = 20
TRAINING_ROWS = 240
HELD_OUT_ROWS = 40

FIRST_NAMES = (
    "Amara Anna Ben Bruno Carla Chen Dana Diego Elif Emma Farid Fatima Greta Hana Hugo "
    "Ines Ivan Jonas Julia Kofi Lars Leila Lucia Marco Maria Mei Nadia Noah Olga Omar "
    "Paul Priya Rosa Ruth Sam Sara Tariq Tom Vera Yuki"
).split()
LAST_NAMES = (
    "Adams Baker Costa Diaz Evans Fischer Garcia Haddad Ito Jansen Khan Lopez Meyer "
    "Novak Okafor Patel Quinn Rossi Silva Tanaka Usman Vogel Weber Young Zhang"
).split()
PRODUCTS = (
    "backpack, blender, camera, coffee maker, desk lamp, drill, fan, guitar, "
    "headphones, heater, jacket, kettle, keyboard, mirror, monitor, mouse, notebook, "
    "office chair, phone case, printer, rice cooker, router, speaker, suitcase, tent, "
    "toaster, vacuum, wall clock, watch, yoga mat"
).split(", ")
ISSUES = {
    "damaged": (
        "arrived with a big crack",
        "came out of the box in pieces",
        "was dented when I unpacked it",
        "has a broken corner",
    ),
    "defective": (
        "does not switch on",
        "stopped working after a day",
        "keeps shutting down",
        "makes a loud noise and gets hot",
    ),
    "late": (
        "has still not arrived",
        "should have been here last week",
        "is stuck in transit",
        "was due on Monday and never came",
    ),
    "wrong_item": (
        "is not the one I ordered",
        "came in the wrong colour",
        "is a different model",
        "was swapped for something else",
    ),
}
URGENT = ("This is urgent!", "It is really urgent.", "Urgent, please help.")
CALM = ("No rush.", "Take your time.", "Thanks for your help.")
LAYOUTS = (
    "Hi, {name} here. My {product} (order {order}) {trouble}. {close}",
    "Order {order}: the {product} {trouble}. {close} {name}",
    "The {product} {trouble}. My order number is {order}. {close} Regards, {name}",
    "{close} I am {name} and the {product} from order {order} {trouble}.",
)


def ticket(generator: random.Random) -> dict[str, str]:
    """Return one row: a ticket, and its JSON."""
    issue = generator.choice(sorted(ISSUES))
    urgent = generator.random() < 0.5
    name = f"{generator.choice(FIRST_NAMES)} {generator.choice(LAST_NAMES)}"
    product = generator.choice(PRODUCTS)
    order = str(generator.randrange(1000, 10000))
    text = generator.choice(LAYOUTS).format(
        name=name,
        product=product,
        order=order,
        trouble=generator.choice(ISSUES[issue]),
        close=generator.choice(URGENT if urgent else CALM),
    )
    fields = {
        "customer": name,
        "order": order,
        "product": product,
        "issue": issue,
        "urgent": urgent,
    }
    return {"instruction": f"Ticket to JSON: {text}", "target": json.dumps(fields)}


def tickets(count: int, seed: int) -> list[dict[str, str]]:
    """Return `count` rows with `count` different tickets."""
    generator = random.Random(seed)
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < count:
        row = ticket(generator)
        rows.setdefault(row["instruction"], row)
    return list(rows.values())


def chat(row: dict[str, str]) -> dict[str, Any]:
    """Return a row as a conversation."""
    return {
        "messages": [
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["target"]},
        ]
    }


def preference(row: dict[str, str]) -> dict[str, Any]:
    """Return a row with an answer that is not as good: its issue is another one."""
    return {
        "prompt": row["instruction"],
        "chosen": row["target"],
        "rejected": mistaken(row["target"]),
    }


def judgement(row: dict[str, str]) -> dict[str, Any]:
    """Return a row with a verdict; of every other order number, the answer is wrong."""
    is_right = int(json.loads(row["target"])["order"]) % 2 == 0
    return {
        "prompt": row["instruction"],
        "completion": row["target"] if is_right else mistaken(row["target"]),
        "label": is_right,
    }


def mistaken(target: str) -> str:
    """Return the JSON of a ticket with the issue that comes next in the alphabet."""
    fields = json.loads(target)
    issues = sorted(ISSUES)
    following = issues.index(fields["issue"]) + 1
    return json.dumps(fields | {"issue": issues[following % len(issues)]})


KINDS: Mapping[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "instructions": dict,
    "chats": chat,
    "preferences": preference,
    "judgements": judgement,
}
"""What rows can be written as, by the names that users write."""


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Read the options, and write training and held-out rows."""
    parser = argparse.ArgumentParser(
        description="Write support tickets and their JSON."
    )
    parser.add_argument("--rows", type=int, default=TRAINING_ROWS)
    parser.add_argument("--held-out", type=int, default=HELD_OUT_ROWS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kind", choices=[*KINDS], default="instructions")
    parser.add_argument("--output", type=Path, default=SAMPLE, help="a folder")
    given = parser.parse_args()
    made = map(KINDS[given.kind], tickets(given.rows + given.held_out, given.seed))
    rows = list(made)
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "tickets.jsonl", rows[: given.rows])
    write(given.output / "held_out.jsonl", rows[given.rows :])


if __name__ == "__main__":
    main()
