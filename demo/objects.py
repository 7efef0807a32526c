"""An interpreter's day: objects, dictionaries, text, and one sum at the end."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    records = json.load(file)

by_owner = {}
for record in records:
    by_owner.setdefault(record["owner"], []).append(dict(record, tags=set(record["tags"])))

lines = []
for owner in sorted(by_owner):
    things = sorted(by_owner[owner], key=lambda thing: (thing["size"], thing["name"]))
    tags = sorted(set().union(*(thing["tags"] for thing in things)))
    lines.append(f"{owner} {len(things)} {sum(thing['size'] for thing in things)} {','.join(tags)}")
    lines.extend(" ".join(reversed(thing["name"].split("-"))) for thing in things)
print("\n".join(lines))
