"""The package's shape: imports point downwards, import is silent and cheap."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tlkeras"
LAYERS = {
    0: {"_validation", "_keras", "_version", "_files", "_memory"},
    1: {"_code", "distribution", "cache", "findings", "description"},
    2: {"runtime"},
    3: {"backbones", "linear", "metrics", "plots", "saving", "lora", "heads"}
    | {"environment"},
    4: {"outputs", "freezing", "depth"},
    5: {"inputs", "augmentation"},
    6: {"problem"},
    7: {"data", "backbone_loading"},
    8: {"features", "records"},
    9: {"evaluation", "builders", "optimizers", "suspects"},
    10: {"training", "export"},
    11: {"cards", "explain", "compress", "predict_command", "rerunning"},
    12: {"choosing", "few_labels"},
    13: {"quickstart", "adapting", "pretraining"},
    14: {"__main__", "__init__"},
}
LAYER_OF = {module: level for level, names in LAYERS.items() for module in names}


def top_module(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path):
    """Returns a module's dotted name; of a package's `__init__`, the package's."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def trees():
    """Returns each module's syntax tree by its name."""
    return {
        name_of(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")
    }


@functools.cache
def imports():
    """Returns for each module those of ours that it imports, wherever it does."""
    known, found = set(trees()), {}
    for module, tree in trees().items():
        there = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    there.add(inside if inside in known else node.module)
            elif isinstance(node, ast.Import):
                there.update(alias.name for alias in node.names)
        found[module] = (there & known) - {module}
    return found


def test_every_module_has_a_layer():
    modules = {top_module(path) for path in PACKAGE.rglob("*.py")}
    assert modules == set(LAYER_OF)


def test_the_map_of_the_package_has_every_module():
    page = PACKAGE.parent / "docs" / "how_it_is_built.md"
    rooms = [
        line.split("|")[1]
        for line in page.read_text("utf-8").splitlines()
        if "| `" in line[:3]
    ]
    named = [name for room in rooms for name in re.findall(r"`(\w+)`", room)]
    assert sorted(named) == sorted(set(LAYER_OF) - {"__init__"})


def test_imports_point_to_lower_layers():
    wrong = []
    for here, there in imports().items():
        for module in there:
            ours, theirs = (
                (name.split(".") + ["__init__"])[1] for name in (here, module)
            )
            if ours != theirs and LAYER_OF[theirs] >= LAYER_OF[ours]:
                wrong.append(f"{here} imports {module}")
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    """Late imports and those for types alone count, too."""
    graph = graphlib.TopologicalSorter(imports())
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


# What only `inputs` and `outputs` may tell apart.
KINDS = {"classification", "multi_label", "regression", "multi_task"}
KINDS |= {"images", "texts", "text pairs", "pictures", "image", "text", "picture"}
KINDS |= {"sounds", "sound", "audio", "series", "forecast"}
PROBED = {"targets", "task", "class_names", "preprocessor", "problem", "thresholds"}
PROBED |= {"inputs_kind", "image_size", "is_text", "tokenizer"}
CLASSES = {"Classes", "Labels", "Numbers", "Pictures", "Texts", "TextPreprocessor"}
CLASSES |= {"ImageFiles", "TfdsExamples", "ArrayExamples"}
CLASSES |= {"Series", "WindowExamples", "Forecast"}
CLASSES |= {"Sounds", "SoundExamples", "SoundFiles", "SoundArrays"}
CLASSES |= {"Tables", "Columns"}


def words_in(node):
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} & KINDS


def guesses(tree):
    """Yields the lines on which a kind of input or output is guessed, and how."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            both = [node.left, *node.comparators]
            if any(words_in(side) for side in both if not isinstance(side, ast.Call)):
                yield node.lineno, "compares the name of a kind"
            attributes = {n.attr for n in both if isinstance(n, ast.Attribute)}
            nothing = any(isinstance(n, ast.Constant) and n.value is None for n in both)
            if nothing and attributes & {"preprocessor", "targets", "image_size"}:
                yield node.lineno, "compares with None what a kind may have"
        elif isinstance(node, ast.Dict) and len(node.keys) > 1:
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if len(KINDS & set(keys)) > 1:
                yield node.lineno, "keeps a table by kind"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called, rest = node.func.id, node.args[1:]
            if called in ("getattr", "hasattr") and isinstance(rest[0], ast.Constant):
                if rest[0].value in PROBED:
                    yield node.lineno, f"probes for {rest[0].value!r}"
            elif called == "isinstance":
                named = {n.id for n in ast.walk(rest[0]) if isinstance(n, ast.Name)}
                if named & CLASSES:
                    yield node.lineno, f"asks for {sorted(named & CLASSES)}"


def test_only_inputs_and_outputs_tell_kinds_apart():
    found = [
        f"{module}:{line} {how}"
        for module, tree in trees().items()
        if module.split(".")[1:2] not in (["inputs"], ["outputs"])
        for line, how in guesses(tree)
    ]
    # The one place that asks a model of somebody else's.
    allowed = "tlkeras.problem.inference:"
    assert not [line for line in found if not line.startswith(allowed)]


@pytest.mark.parametrize(
    "code",
    [
        'x = task == "regression"',
        'x = kind in ("images", "texts")',
        'x = {"classification": 1, "regression": 2}[task]',
        'x = getattr(model, "preprocessor", None)',
        "x = model.preprocessor is None",
        "x = isinstance(output, Classes)",
    ],
)
def test_a_guess_would_be_found(code):
    assert len(list(guesses(ast.parse(code)))) == 1


@pytest.mark.slow
def test_import_is_silent_and_leaves_heavy_packages_alone():
    script = (
        "import sys, keras\n"
        "before = set(sys.modules)\n"
        "import tlkeras\n"
        "heavy = {'matplotlib', 'sklearn', 'tensorflow_datasets', 'keras_hub',"
        " 'keras_cv', 'pandas', 'PIL', 'soundfile'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_module_says_what_it_is_for():
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_public_names_have_docstrings_with_examples():
    import tlkeras as tl

    for name in tl.__all__:
        thing = getattr(tl, name)
        assert thing.__doc__, name
        if not isinstance(thing, type):
            assert ">>>" in thing.__doc__, name
