#!/usr/bin/env python3
"""`make bench-readme`: puts the last figures of `make bench` and `make bench-peers` between the README's markers, folded.
The sentences above them are written by hand. With `distributed`, those of a run of some sections and of the peers go between
the markers of the distributed profile: `make bench ONLY=distributed,flat FULL=1`, `make bench-peers ONLY=langchain,celery`.
"""

import re
import sys

import programs

# Marker, and where the figures are.
WHOLE = ("figures", ("bench", "peers"))
DISTRIBUTED = ("figures of the distributed profile", ("bench-part", "peers"))


def main():
    name, files = DISTRIBUTED if sys.argv[1:] == ["distributed"] else WHOLE
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    directory = programs.target() / "bench"
    parts = [directory / f"{file}.md" for file in files]
    texts = [part.read_text(encoding="utf-8").strip() for part in parts if part.is_file()]
    if not texts:
        sys.exit(f"bench: there are no figures in {directory}: run `make bench DATA=DIRECTORY` first")
    # Where the data were on the machine is nobody's business.
    body = re.sub(r"(?m)^- data: .*\n?", "", "\n\n".join(texts)).strip()
    readme = programs.ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        sys.exit(f"bench: README.md has no {begin} … {end}")
    head, rest = text.split(begin, 1)
    tail = rest.split(end, 1)[1]
    folded = f"<details><summary>All {name}</summary>\n\n{body}\n\n</details>"
    readme.write_text(f"{head}{begin}\n{folded}\n{end}{tail}", encoding="utf-8")
    print(f"bench: README.md has the figures of {', '.join(part.name for part in parts if part.is_file())}")


if __name__ == "__main__":
    main()
