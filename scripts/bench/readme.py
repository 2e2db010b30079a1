#!/usr/bin/env python3
"""`make bench-readme`: puts the last figures of `make bench` and `make bench-peers` between the README's markers, folded.
The sentences above them are written by hand."""

import re
import sys

import programs

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def main():
    directory = programs.target() / "bench"
    parts = [directory / f"{name}.md" for name in ("bench", "peers")]
    texts = [part.read_text(encoding="utf-8").strip() for part in parts if part.is_file()]
    if not texts:
        sys.exit(f"bench: there are no figures in {directory}: run `make bench DATA=DIRECTORY` first")
    # Where the data were on the machine is nobody's business.
    body = re.sub(r"(?m)^- data: .*\n?", "", "\n\n".join(texts)).strip()
    readme = programs.ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"bench: README.md has no {BEGIN} … {END}")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    folded = f"<details><summary>All figures</summary>\n\n{body}\n\n</details>"
    readme.write_text(f"{head}{BEGIN}\n{folded}\n{END}{tail}", encoding="utf-8")
    print(f"bench: README.md has the figures of {', '.join(part.name for part in parts if part.is_file())}")


if __name__ == "__main__":
    main()
