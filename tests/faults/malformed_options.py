"""Commands with invalid options and arguments, and invalid files of claims."""

# ruff: noqa: E501 (tables of inputs)

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agd_bench.claims import evaluate_claims, read_claims
from tests.faults.inputs import Case, command
from tests.faults.malformed_folders import Sources
from tests.faults.malformed_sweeps import SWEEP

RUN = """--num-workers 0|--num-workers -3|--num-workers many|--num-workers 1.5|--gpus-per-trial -1|--gpus-per-trial inf
--gpus-per-trial nan --executor in-process|--gpus-per-trial 1 --device cpu|--device tpu|--executor dask|--ray-address nonsense
--ray-address localhost:99999|--ray-address http://localhost:80|--ray-address 127.0.0.1:1|--store nonsense|--store foo://bar
--store postgresql+psycopg://u:secret@127.0.0.1:1/x|--store sqlite:////nowhere/at/all/x.db|--out file|--out file/below|--out /proc/x
--out BOARD|--time-limit -5|--time-limit soon|--time-limit nan|--time-limit inf|--time-limit 5y|--time-limit h|--part 0/3|--part 4/3
--part a/b|--part 1|--part -1/3|--part 1/0|--part \u00b2/\u00b3|--in-flight 0|--in-flight 4|--timed -1|--share-gpus|--from nowhere|--from file
--from sqlite:///nowhere.db|--from RUN|--search-spaces nowhere|--search-spaces file|--frobnicate|more|--retry won|--set epochs|--set a.b.c=1"""
OTHER = """status nowhere|status /etc/passwd|status /|status sqlite:///nowhere.db|status ://|status http://x|report nowhere
report BOARD|report BOARD --out /dev/null/x|report BOARD --out /proc/x|report BOARD --published nowhere --out r
report BOARD --published /etc/passwd --out r|export nowhere|export BOARD --out /proc/x|export BOARD --out /dev/null|publish nowhere --to x
publish BOARD --to /etc/passwd|publish BOARD --to /usr|publish BOARD --to x/y --claims nowhere.toml|publish BOARD --to /proc/x/y
claims nowhere|claims BOARD --claims /etc/passwd|claims BOARD --claims /|merge --to x|merge nowhere --to x|merge RUN --to BOARD
merge RUN --to /etc/passwd|check nowhere.py|check /|check /dev/null|list things|new thing x|new search-space ../x|new search-space class
new search-space A-B|new algorithm 1x|new search-space nas_bench_201|new dataset \u0434\u0430\u0442\u0430|new dataset abc --to /etc/passwd
new dataset abc --to /proc/x|draw nowhere|draw vgg --to x.jpg|draw vgg --to /proc/x.svg|reproduce nothing|reproduce skip_connections --scale tiny
reproduce skip_connections --from nowhere|frobnicate|show nothing|convert nas_bench_201 x|convert vgg x|convert darts Genotype(|site --to BOARD/x
plan sweep.toml --power much|plan sweep.toml --power nan|plan sweep.toml --power 0|plan sweep.toml --power 5|plan sweep.toml --num-workers 0
plan sweep.toml --power -0.2 --power-level 2|plan sweep.toml --power -0.2 --pilot nowhere|plan .|plan nowhere.toml|plan /dev/null|run quickstrat"""
LONG = """plan NAME|show NAME|list NAME|status NAME|report NAME|verify NAME|publish NAME --to x|new search-space NAME|check NAME|draw NAME
convert NAME x|convert nas_bench_201 NAME|run NAME|run quickstart --executor NAME|run quickstart --ray-address NAME|run quickstart --store NAME
run quickstart --part NAME|run quickstart --time-limit NAME|run quickstart --set NAME=1|run quickstart --retry NAME|claims NAME|search NAME
run quickstart --search-spaces NAME|merge NAME --to x|export NAME|enter NAME --algorithm x|audit NAME|reproduce NAME|site --to NAME/x NAME
launch NAME job.toml|launch slurm NAME|withdraw NAME --entry a --reason b|submit NAME --to x|freeze NAME --to x|NAME"""
VERIFY = """verify nowhere|verify /etc/passwd|verify RUN|verify /"""
CLAIM = {
    "id": '"a"', "sentence": '"A sentence."', "query": '"accuracy_difference"', "arguments": '{ baseline = "sgd_tuned", challenger = "agd" }',
    "test": '"above"', "threshold": "-0.02", "level": "0.95",
}  # fmt: skip
WRONG_CLAIMS = {
    "query": ['"sql"', '"__class__"', "1"], "arguments": ['{ x = "y" }', "{ baseline = 1 }", '{ baseline = "nobody", challenger = "agd" }', "[]"],
    "test": ['"equals"', "1"], "threshold": ['"x"', "nan", "inf", "[1, 2]", "[1, 2, 3]", "true"], "level": ["0.1", "1.0", "nan", '"x"'],
    "id": ['""', '"<b>"', '"a\\nb"', '"../../x"', "1"], "sentence": ['""', '"' + "x" * 501 + '"', "1"], "extra": ["1"],
}  # fmt: skip


def cases(sources: Sources) -> Iterator[Case]:
    """Yield every listed command and claim."""
    for line in RUN.replace("\n", "|").split("|"):
        # most are refused before anything starts; without --executor, Ray would be started for the others
        executor = () if "--executor" in line or "--ray-address" in line else ("--executor", "in-process")
        yield _command(sources, ("run", "sweep.toml", *line.split(), *executor))
    for line in OTHER.replace("\n", "|").split("|"):
        yield _command(sources, tuple(line.split()))
    for line in VERIFY.split("|"):
        yield _command(sources, tuple(line.split()))
    for sweep in ("", "a" * 500, "a\0b.toml", "\udcff\udcfe.toml"):
        yield _command(sources, ("plan", sweep))
    for line in LONG.replace("\n", "|").split("|"):
        yield _command(sources, tuple(word.replace("NAME", "a" * 5000) for word in line.split()))
    for key, values in WRONG_CLAIMS.items():
        for value in values:
            yield Case("claim", f"{key} = {value[:40]}", partial(_claim, sources, {**CLAIM, key: value}))
    for text in ("[[claims]]\nid = ", "claims = 5\n", "claims = [1, 2]\n", "levels = 0.9\n", "claims = " + "[" * 20000 + "]" * 20000):
        yield Case("claim", text[:40], partial(_read, sources, text))


def _command(sources: Sources, arguments: tuple[str, ...]) -> Case:
    def act(folder: Path) -> str:
        (folder / "sweep.toml").write_text(SWEEP)
        (folder / "file").write_text("a file")
        named = [word.replace("BOARD", str(sources.board)).replace("RUN", str(sources.run)) for word in arguments]
        return command(*named)

    return Case("command", " ".join(arguments)[:120], act)


def _claim(sources: Sources, fields: dict[str, str], folder: Path) -> object:
    return _read(sources, "level = 0.9\n[[claims]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items()), folder)


def _read(sources: Sources, text: str, folder: Path) -> object:
    (folder / "claims.toml").write_text(text)
    return evaluate_claims(sources.results, read_claims(folder / "claims.toml"))
