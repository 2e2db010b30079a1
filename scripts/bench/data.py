"""What is measured on: the project's own examples, or the directories that the caller names.

A directory that holds `pdf_real`, `qa_sec10q` and `qa_scifact` (in the layout of BEIR: corpus.jsonl, queries.jsonl,
qrels_train.tsv) gives everything; any other is a folder of documents.
"""

import csv
import itertools
import json
import random
import re
import shutil
from pathlib import Path

from programs import ROOT

OWN_DOCUMENTS = ROOT / "examples" / "documents"
OWN_TEXTS = ROOT / "scripts" / "samples"
OWN_REPEATS = 30
OWN_QUESTIONS = ROOT / "examples" / "questions.txt"


class Data:
    def __init__(self, directories):
        self.directories = [Path(directory).resolve() for directory in directories] or [OWN_DOCUMENTS]
        for directory in self.directories:
            if not directory.is_dir():
                raise SystemExit(f"bench: {directory} is not a directory")
        self.is_own = self.directories == [OWN_DOCUMENTS]

    def find(self, name):
        return next((d / name for d in self.directories if (d / name).is_dir()), None)

    def pdfs(self, extraction=False):
        """The PDFs: `pdf_real`, and but for extraction alone `qa_sec10q`; else all in the directories."""
        real, quarterly = self.find("pdf_real"), self.find("qa_sec10q")
        named = [real] if real and extraction else [folder for folder in (real, quarterly) if folder]
        folders = named or self.directories
        return sorted(path for folder in folders for path in folder.rglob("*.pdf"))

    def describe(self):
        return ", ".join(str(d) for d in self.directories) if not self.is_own else "the project's own examples"

    def flat_copy(self, into, extraction=False):
        """The PDFs side by side in one directory, numbered, since names may repeat."""
        into.mkdir(parents=True)
        # The project's own are few pages: several times over, so that reading them takes a measurable time.
        files = self.pdfs(extraction) * (OWN_REPEATS if self.is_own and extraction else 1)
        for number, path in enumerate(files):
            shutil.copyfile(path, into / f"{number:03}-{path.name}")
        return len(files)

    # ----------------------------------------------------------------------------------------------- SciFact

    def scifact(self):
        directory = self.find("qa_scifact")
        needed = ("corpus.jsonl", "queries.jsonl", "qrels_train.tsv")
        return directory if directory and all((directory / name).is_file() for name in needed) else None

    def abstracts(self):
        """Title and text of each abstract by its id."""
        lines = (self.scifact() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        rows = (json.loads(line) for line in lines)
        return {str(row["_id"]): (row["title"], row["text"]) for row in rows}

    def judged_queries(self):
        """The training queries with the relevance of documents to each."""
        lines = (self.scifact() / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        texts = {str(row["_id"]): row["text"] for row in map(json.loads, lines)}
        relevance = {}
        with (self.scifact() / "qrels_train.tsv").open(encoding="utf-8") as rows:
            for query, document, score in itertools.islice(csv.reader(rows, delimiter="\t"), 1, None):
                if int(score) > 0:
                    relevance.setdefault(query, {})[document] = int(score)
        return {query: (texts[query], judged) for query, judged in relevance.items()}

    # ----------------------------------------------------------------------------------- text and questions

    def texts(self):
        """Running text, several megabytes of it with SciFact."""
        if self.scifact():
            return [f"{title}\n\n{text}" for title, text in self.abstracts().values()]
        return own_texts() * 40

    def sentences(self):
        found = []
        for text in self.texts() if self.scifact() else own_texts():
            found += [s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if len(s.strip()) > 20]
        return found

    def synthetic_documents(self, bytes_each, seed=20261121):
        """Documents without end, of real sentences in an order that the seed decides."""
        sentences, order = self.sentences(), random.Random(seed)
        number = 0
        while True:
            number += 1
            paragraphs, size = [f"Collected sentences, part {number}"], 0
            while size < bytes_each:
                paragraph = " ".join(order.choices(sentences, k=7))
                paragraphs.append(paragraph)
                size += len(paragraph)
            yield "\n\n".join(paragraphs) + "\n"

    def questions(self):
        """On the documents: those of the quarterly reports, else the project's own."""
        quarterly = self.find("qa_sec10q")
        table = quarterly / "qna_data.csv" if quarterly else None
        if table and table.is_file():
            with table.open(encoding="utf-8") as rows:
                return [row["Question"] for row in csv.DictReader(rows)]
        lines = OWN_QUESTIONS.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    def synthetic_questions(self, count=500, seed=7):
        """On the synthetic documents."""
        if self.scifact():
            return [text for text, _ in self.judged_queries().values()][:count]
        sentences, order = self.sentences(), random.Random(seed)
        return [" ".join(order.choice(sentences).split()[:12]) for _ in range(count)]


def own_texts():
    return [path.read_text(encoding="utf-8") for path in sorted(OWN_TEXTS.glob("*.txt"))]


def write_questions(path, questions):
    """Questions as the measuring programs read them; a dictionary gives their ids."""
    rows = questions.items() if isinstance(questions, dict) else enumerate(questions)
    lines = [json.dumps({"id": str(key), "text": text}, ensure_ascii=False) for key, text in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
