"""The recipes in examples/ci: their steps are those of their README, and every command and option in them exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")
yaml = pytest.importorskip("yaml")

import typer  # noqa: E402
from packaging.requirements import Requirement  # noqa: E402

from radiodino.benchmarks import cli as bench  # noqa: E402
from radiodino.export import cli as export  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / "examples" / "ci"
COMMANDS = {"radiodino-export": export.app, "radiodino-bench": bench.app}

pytestmark = pytest.mark.skipif(not CI.is_dir(), reason="the examples are not beside the tests")


def block(name):
    """The commands in the README's block that follows <!-- NAME -->."""
    text = (CI / "README.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- {name} -->\n```bash\n(.*?)\n```", text, re.DOTALL)[1].splitlines()


def recipe(name):
    return yaml.safe_load((CI / name).read_text(encoding="utf-8"))


def github():
    (job,) = recipe("github-actions.yml")["jobs"].values()
    return job


def gitlab():
    return recipe("gitlab-ci.yml")["radiodino"]


def parsed(line):
    """The options of a command line, as the program itself understands it."""
    program, *arguments = shlex.split(line)
    command, name = typer.main.get_command(COMMANDS[program]), program
    if arguments and arguments[0] in command.commands:
        name, command = arguments[0], command.commands[arguments.pop(0)]
    return name, command.make_context(name, arguments).params


def test_both_take_the_steps_of_the_readme():
    assert gitlab()["script"] == block("steps")
    assert [step["run"] for step in github()["steps"] if "run" in step and "if" not in step] == block("steps")


@pytest.mark.parametrize("name", ["steps", "own"])
def test_every_command_exists_with_those_options(name):
    lines = [line for line in block(name) if not line.startswith("pip ")]
    names = [parsed(line)[0] for line in lines]
    assert {"radiodino-export", "verify", "gate"} <= set(names)


@pytest.mark.parametrize("line", ["radiodino-bench gate --no-such 1", "radiodino-export verify a.onnx --no-such"])
def test_an_option_that_is_not_there_would_be_found(line):
    with pytest.raises(Exception, match=r"[Nn]o such option"):
        parsed(line)


def test_the_extras_exist():
    (line,) = [line for line in block("steps") if line.startswith("pip ")]
    extras = Requirement("radiodino" + shlex.split(line)[-1].removeprefix(".")).extras
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert extras
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras)


def test_all_that_is_written_is_kept_though_the_gate_is_broken():
    options = {name: value for line in block("steps")[1:] for name, value in parsed(line)[1].items()}
    written = {str(options[name]) for name in ("output", "markdown", "html")} | {"model.onnx"}
    kept = gitlab()["artifacts"]
    assert kept["when"] == "always"
    assert set(kept["paths"]) == written
    (upload,) = [step for step in github()["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "${{ always() }}"
    assert set(upload["with"]["path"].split()) == written


def test_they_ask_for_little():
    assert recipe("github-actions.yml")["permissions"] == {"contents": "read"}
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in github()["steps"] if "uses" in step)
    assert 0 < github()["timeout-minutes"] <= 60
    assert gitlab()["timeout"] == f"{github()['timeout-minutes']} minutes"
    for path in CI.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert "secrets." not in text, path
