"""The package's shape: imports point downwards, import is silent and cheap."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "tlkeras"
LAYERS = {
    0: {"_validation", "_keras"},
    1: {"distribution"},
    2: {"runtime"},
    3: {"backbones", "metrics", "plots", "saving", "lora", "heads"},
    4: {"outputs", "freezing", "depth"},
    5: {"inputs", "augmentation"},
    6: {"problem"},
    7: {"data", "backbone_loading"},
    8: {"features", "evaluation", "records"},
    9: {"builders", "optimizers", "suspects"},
    10: {"training", "export"},
    11: {"cards", "explain", "compress", "quickstart", "predict_command", "rerunning"},
    12: {"__main__", "__init__"},
}
LAYER_OF = {module: level for level, names in LAYERS.items() for module in names}


def top_module(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "tlkeras" and rest:
                yield rest.split(".")[0]


def test_every_module_has_a_layer():
    modules = {top_module(path) for path in PACKAGE.rglob("*.py")}
    assert modules == set(LAYER_OF)


def test_imports_point_to_lower_layers():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = top_module(path)
        for there in imported_modules(path):
            if there in LAYER_OF and there != here:
                if LAYER_OF[there] >= LAYER_OF[here]:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {there}")
    assert not wrong


def test_import_is_silent_and_leaves_heavy_packages_alone():
    script = (
        "import sys, keras\n"
        "before = set(sys.modules)\n"
        "import tlkeras\n"
        "heavy = {'matplotlib', 'sklearn', 'tensorflow_datasets', 'keras_hub',"
        " 'keras_cv', 'pandas', 'PIL'}\n"
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
