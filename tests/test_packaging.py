"""What a stranger gets: the lock files, the wheel, the image, and `make` on a machine that lacks something."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLED: Final = ("config", "origin", "selection", "storage")
RUNTIME: Final = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
DEVELOPMENT: Final = [Requirement(line) for line in PROJECT["project"]["optional-dependencies"]["dev"]]
BUILD: Final = [Requirement(line) for line in PROJECT["build-system"]["requires"]]
# Modules that come with a dependency, at the one version that it asks for.
PART_OF: Final = {"pydantic-core": "pydantic"}
LOCK_FILES: Final = ("requirements.lock", "requirements-dev.lock")


# -- Lock files


def pins_of(text: str) -> dict[str, tuple[str, list[str]]]:
    r"""Return distribution -> (version, hashes) of a lock file.

    >>> pins_of("# by make\na-b==1.0 ; python_version < '3.13' \\\n  --hash=sha256:12 \\\n  --hash=sha256:34\n")
    {'a-b': ('1.0', ['12', '34'])}
    """
    entries = re.findall(r"^([\w.-]+)==(\S+)((?:.*\\\n)*.*)", text, re.MULTILINE)
    return {
        canonicalize_name(name): (version, re.findall(r"--hash=sha256:(\w+)", rest)) for name, version, rest in entries
    }


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_holds_nothing_but_pins_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    lines = re.sub(r"\\\n", "", text).splitlines()
    requirements = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert [line for line in requirements if "==" not in line or "--hash" not in line] == []
    assert len(pins_of(text)) == len(requirements)
    for distribution, (_, hashes) in pins_of(text).items():
        assert hashes, distribution
        assert [digest for digest in hashes if not re.fullmatch("[0-9a-f]{64}", digest)] == [], distribution


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_names_no_place_to_fetch_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.findall(r"^\s*-(?!-hash).*|.*://.*|.*(?:index|find-links|trusted).*", text, re.MULTILINE) == []


def test_the_development_lock_is_the_runtime_lock_and_more() -> None:
    runtime, development = (pins_of((ROOT / name).read_text()) for name in LOCK_FILES)
    assert runtime.items() <= development.items()


@pytest.mark.parametrize(
    ("name", "requirements"),
    [("requirements.lock", RUNTIME + BUILD), ("requirements-dev.lock", RUNTIME + BUILD + DEVELOPMENT)],
    ids=LOCK_FILES,
)
def test_every_dependency_is_locked_within_its_bounds(name: str, requirements: list[Requirement]) -> None:
    pins = pins_of((ROOT / name).read_text())
    for requirement in requirements:
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, locked at {version}: run `make lock`"


@pytest.mark.parametrize("requirement", RUNTIME + DEVELOPMENT + BUILD, ids=lambda requirement: requirement.name)
def test_a_dependency_has_a_lower_and_an_upper_bound(requirement: Requirement) -> None:
    assert sorted(specifier.operator for specifier in requirement.specifier) == ["<", ">="]


def test_every_dependency_tells_its_reason_on_its_own_line() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]:
        assert [line for line in lines if re.match(rf'\s*"{re.escape(requirement)}",\s+# \S+ \S+', line)], requirement


def test_the_build_tools_are_locked_as_the_build_asks_for_them() -> None:
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]


def test_the_runtime_dependencies_are_what_the_code_imports() -> None:
    imported = set()
    for path in (path for package in INSTALLED for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    distributions = packages_distributions()
    third_party = imported - sys.stdlib_module_names - set(INSTALLED)
    found = {canonicalize_name(distributions[module][0]) for module in third_party}
    used = {PART_OF.get(distribution, distribution) for distribution in found}
    assert used == {canonicalize_name(requirement.name) for requirement in RUNTIME}


# -- The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel from a copy, as the image does: without a build environment, without a network."""
    tree = tmp_path_factory.mktemp("tree")
    for package in (*INSTALLED, "tests", "loadtests"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        "out",
        ".",
    ]
    finished = subprocess.run(build, cwd=tree, env=clean_environment(), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (path,) = (tree / "out").iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_the_installed_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in INSTALLED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert [name for name in names if fnmatch(name, "live_origin-*.dist-info/licenses/LICENSE")]
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    parser = ConfigParser()
    parser.read_string(wheel.read(entry_points).decode())
    module, function = parser["console_scripts"]["live-origin"].split(":")
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# -- The image


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile; `stage` counts from 0."""

    stage: int
    word: str
    rest: str


def instructions_of(text: str) -> list[Instruction]:
    r"""Parse a Dockerfile as far as the tests below need it.

    >>> instructions_of("FROM a\n# why\nRUN b \\\n  c\n")
    [Instruction(stage=0, word='FROM', rest='a'), Instruction(stage=0, word='RUN', rest='b    c')]
    """
    instructions = []
    stage = -1
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        if word:
            instructions.append(Instruction(stage, word, rest))
    return instructions


IMAGE: Final = instructions_of((ROOT / "Dockerfile").read_text())


def last(word: str) -> str:
    """Return what follows the last `word` of the final stage."""
    return [i.rest for i in IMAGE if i.word == word and i.stage == IMAGE[-1].stage][-1]


def is_in_build_context(path: str) -> bool:
    """Whether .dockerignore lets `path` through: the last matching line decides."""
    included = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if pattern and not pattern.startswith("#") and fnmatch(path, pattern):
            included = line.startswith("!")
    return included


def test_the_image_copies_only_what_exists_and_is_sent_to_the_build() -> None:
    copies = [shlex.split(i.rest)[:-1] for i in IMAGE if i.word == "COPY" and "--from" not in i.rest]
    sources = [source.rstrip("/") for copy in copies for source in copy]
    assert set(INSTALLED) <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_in_build_context(source), source


def test_nothing_but_the_sources_is_sent_to_the_build() -> None:
    assert not any(map(is_in_build_context, (".git", ".venv", "data", "tests", "loadtests", "config.yaml")))


def test_the_image_runs_as_a_user_without_rights() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    position = IMAGE.index(Instruction(IMAGE[-1].stage, "USER", last("USER")))
    assert not [i for i in IMAGE[position:] if i.word == "RUN"]


def test_the_image_has_a_supported_python_in_every_stage() -> None:
    supported = {line.split(" :: ")[-1] for line in PROJECT["project"]["classifiers"]}
    bases = [re.match(r"python:(\d+\.\d+)-slim\b", i.rest) for i in IMAGE if i.word == "FROM"]
    assert {base[1] for base in bases if base} <= supported
    assert all(bases)
    assert len({base[1] for base in bases if base}) == 1


def test_the_image_installs_by_hash_and_starts_the_command() -> None:
    assert [i for i in IMAGE if i.word == "RUN" and "--require-hashes --requirement requirements.lock" in i.rest]
    (command,) = PROJECT["project"]["scripts"]
    assert last("ENTRYPOINT") == f'["{command}"]'
    assert last("CMD") == '["serve", "--config", "/etc/live-origin/config.yaml"]'
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("VOLUME") == "/var/lib/live-origin"
    assert last("EXPOSE").split() == ["8080", "8081", "8082"]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_of_the_image_follows_healthz_whatever_proxy_is_set(status: int, healthy: bool) -> None:
    class Admin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    arguments: list[str] = ast.literal_eval(last("HEALTHCHECK").partition("CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        threading.Thread(target=server.handle_request).start()
        code = arguments[-1].replace(":8082/", f":{server.server_port}/")
        assert code != arguments[-1]
        environment = {"http_proxy": "http://127.0.0.1:9"}
        finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (finished.returncode == 0) is healthy


# -- make, on machines that lack something


def clean_environment(**changes: str) -> dict[str, str]:
    """Return the environment without what `make test` hands to the makes below it."""
    ours = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS", "VENV", "PYTHON")
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


@dataclass(frozen=True)
class Machine:
    """A PATH with a handful of commands, and whatever a test adds."""

    commands: Path

    def add(self, name: str, script: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(shutil.which("make")), f"VENV={self.commands}/venv", *arguments]
        environment = clean_environment(PATH=str(self.commands))
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    # Scripts, not links: a test that replaces one must not write through it to the real command.
    for name in ("bash", "env", "expand", "id", "rm", "sed"):
        machine.add(name, f'exec {shutil.which(name)} "$@"')
    return machine


OLD_PYTHON: Final = "echo 3.9"
PYTHON_WITHOUT_ENSUREPIP: Final = '[[ "$2" == *version_info* ]] && echo 3.11'


def test_make_alone_lists_every_target(machine: Machine) -> None:
    listed = machine.make().stdout
    targets = "run test check format bench load lock clean".split()  # noqa: SIM905
    assert [target for target in targets if f"make {target} " not in listed] == []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "Install Python 3.11 or newer"),
        (OLD_PYTHON, "is Python 3.9; this needs Python 3.11 or newer"),
        (PYTHON_WITHOUT_ENSUREPIP, "Please type: apt-get install python3.11-venv"),
    ],
    ids=["no-python", "python-too-old", "no-ensurepip-and-no-apt"],
)
def test_make_says_what_is_wrong_with_the_python(machine: Machine, script: str, sentence: str) -> None:
    machine.add("python3", script)
    finished = machine.make("run", "PYTHON=python3")
    assert finished.returncode != 0
    assert sentence in finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize("target", ["run", "debian-packages"])
def test_make_installs_what_is_missing_where_it_may(machine: Machine, target: str) -> None:
    machine.add("python3", PYTHON_WITHOUT_ENSUREPIP)
    machine.add("id", "echo 0")
    machine.add("apt-get", f'echo "$@" >> {machine.commands}/asked')
    machine.make(target, "PYTHON=python3", "TEST_COMMANDS=no-such-command=a-package bash=bash")
    package = {"run": "python3.11-venv", "debian-packages": "a-package"}[target]
    asked = (machine.commands / "asked").read_text().splitlines()
    assert asked == ["update -qq", f"install -y -qq --no-install-recommends {package}"]


def test_make_says_what_to_type_when_a_package_is_missing_and_cannot_be_installed(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    machine.add("apt-get", "exit 100")
    finished = machine.make("debian-packages", "TEST_COMMANDS=no-such-command=a-package")
    assert finished.returncode != 0
    assert "Please type: apt-get install a-package" in finished.stderr


def test_continuous_integration_runs_the_tests_and_the_demo() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    commands = [line for line in lines if line.startswith("make ")]
    assert commands == ["make test", 'make run VENV=.venv-run ARGS="--seconds 20 --json"']
