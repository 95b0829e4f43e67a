"""Documentation: what docstrings, the README and the site show runs and is found."""

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import shutil
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import tiny_backbone
from images import encode, picture
from scenes import scenes, write_coco, write_csv, write_voc, write_yolo
from sounds import glide, write
from test_boxes import as_tfds
from test_data_tfds import numbered, write_dataset
from test_quickstart import write_films
from text_models import tiny_bert, write_preset

import tlkeras as tl
from tlkeras import runtime
from tlkeras.backbones import weights as weights_module
from tlkeras.backbones.applications import build_entry
from tlkeras.data import tfds as tfds_module
from tlkeras.data.boxes import tfds as boxes_module

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# `fit` asks for `shuffle=True` by itself, and Keras then warns of it for a dataset.
pytestmark = pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")


def package_modules():
    """Imports every module of the package."""
    found = pkgutil.walk_packages(tl.__path__, "tlkeras.")
    return [tl, *(importlib.import_module(module.name) for module in found)]


def docstring_examples():
    """Returns a doctest for every docstring that has examples, private ones too."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for module in package_modules() for test in finder.find(module)]
    return sorted((test for test in tests if test.examples), key=lambda t: t.name)


def public_names():
    """Returns from its dotted name all that `tl.__all__` offers, methods included."""
    found = {}
    for name in tl.__all__:
        found[name] = value = getattr(tl, name)
        if inspect.isclass(value):
            methods = {method: getattr(value, method) for method in dir(value)}
            found |= {f"{name}.{m}": f for m, f in methods.items() if is_ours(m, f)}
    return found


def is_ours(name, value):
    """Whether it is a public method of the package's own, not one of Keras'."""
    made = inspect.isfunction(value) or inspect.ismethod(value)
    return made and not name.startswith("_") and value.__module__.startswith("tlkeras")


def arguments_of(value):
    """Returns the names of a callable's arguments, without `*args` and `**kwargs`."""
    if inspect.isclass(value) and issubclass(value, Exception):
        return set()
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    arguments = inspect.signature(value).parameters.values()
    return {each.name for each in arguments if each.kind not in variadic} - {"self"}


def described(name, value):
    """Returns the names under "Args" and "Attributes", those of base classes too."""
    owner = getattr(tl, name.partition(".")[0])
    if inspect.isclass(value):
        texts = [each.__doc__ for each in inspect.getmro(value)]
    elif inspect.isclass(owner):
        bases = inspect.getmro(owner)
        texts = [
            getattr(getattr(b, value.__name__, None), "__doc__", "") for b in bases
        ]
    else:
        texts = [value.__doc__]
    sections = re.findall(
        r"^(?:Args|Attributes):\n((?:\s*\n|    .*\n?)*)",
        "\n".join(inspect.cleandoc(text or "") + "\n" for text in texts),
        re.M,
    )
    return set(re.findall(r"^    (\w+):", "\n".join(sections), re.M))


EXAMPLES = docstring_examples()
PUBLIC = public_names()


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A folder of pictures of two classes."""
    folder = tmp_path_factory.mktemp("pictures") / "flowers"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A folder of sounds of two classes."""
    folder = tmp_path_factory.mktemp("sounds") / "words"
    for i in range(20):
        name = folder / ("no", "yes")[i % 2] / f"speaker{i // 2 % 5}_{i}.wav"
        write(name, glide(bool(i % 2), seed=i, rate=8_000), 8_000)
    return folder


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """A folder of pictures with boxes, in each form that they are read from."""
    folder, drawn = tmp_path_factory.mktemp("boxes") / "signs", scenes(20)
    write_coco(folder, drawn)
    write_csv(folder, drawn)
    write_voc(folder / "voc", drawn)
    write_yolo(folder / "yolo", drawn)
    return folder


@pytest.fixture
def offline_folder(tmp_path, monkeypatch, flowers, words, signs):
    """A working folder of pictures, sounds and boxes; nothing is downloaded."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "signs").symlink_to(signs)
    shutil.copytree(flowers, tmp_path / "flowers")
    (tmp_path / "words").symlink_to(words)
    monkeypatch.setattr(tfds_module, "prepared_builder", generated_tfds)
    monkeypatch.setattr(boxes_module, "prepared_builder", generated_boxes)
    # The published weights of VGG16 and its like cannot be had offline: random ones
    # take their place, as a file, so that all but the download itself is real.
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights_module, "_download", write_random_weights)
    monkeypatch.setattr(runtime, "_configured", None)
    return tmp_path


def write_pictures(folder):
    """Writes 1.jpg to 10.jpg of each of two classes."""
    for seed, name in enumerate(("daisy", "rose")):
        (folder / name).mkdir(parents=True)
        for i in range(1, 11):
            pixels = picture(seed=100 * seed + i)
            (folder / name / f"{i}.jpg").write_bytes(encode(pixels, "JPEG"))


def write_random_weights(entry, input_shape):
    """Writes random weights in Keras' folder, where a download would come to lie."""
    path = weights_module.keras_models_folder() / entry.weights_file(input_shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    build_entry(entry, input_shape).save(path)
    return path


def generated_tfds(name, data_dir):
    """Stands in for a prepared data set of TensorFlow Datasets."""
    return write_dataset(Path.cwd() / "tfds", {"train": numbered(20)})


def generated_boxes(name, data_dir):
    """Stands in for a prepared data set with boxes."""
    return as_tfds(Path.cwd() / "tfds", {"train": scenes(20)})


def flower_data():
    """Returns the data that examples may use without making them."""
    return tl.image_folder("flowers/", image_size=32, batch_size=8)


def small_model():
    """Returns the model that examples may use without making it."""
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", jit_compile=False)
    return model


def names_of(example):
    """Returns the names that an example uses without making them."""
    source = "".join(each.source for each in example.examples)
    makers = {"data": flower_data, "model": small_model}
    # Making them takes longer than most examples do.
    used = [name for name in makers if re.search(rf"\b{name}\b", source)]
    made = {name: makers[name]() for name in used}
    return {"tl": tl, "keras": keras, "np": np} | made


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_docstring_example_runs_and_shows_what_it_says(example, offline_folder):
    said = []
    test = doctest.DocTest(
        example.examples,
        {**example.globs, **names_of(example)},
        example.name,
        example.filename,
        example.lineno,
        example.docstring,
    )
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    assert result.attempted
    assert not result.failed, "".join(said)


def test_public_docstrings_stand_alone():
    # `help` shows one docstring, and does not follow a reference to another.
    texts = {name: inspect.getdoc(value) for name, value in PUBLIC.items()}
    assert not [name for name, text in texts.items() if not text]
    assert not [name for name, text in texts.items() if re.search(r"\bAs in\b", text)]


def test_public_docstrings_say_what_each_argument_is():
    missing = {n: arguments_of(v) - described(n, v) for n, v in PUBLIC.items()}
    assert not {name: arguments for name, arguments in missing.items() if arguments}


def test_no_docstring_example_is_missed():
    sources = map(inspect.getsource, package_modules())
    written = {
        line for text in sources for line in re.findall(r"^ *>>> (.*)", text, re.M)
    }
    # One text may be part of several docstrings, as those of builders are.
    run = {x.source.splitlines()[0] for test in EXAMPLES for x in test.examples}
    assert written == run


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_the_usual_files_are_there(name):
    assert (ROOT / name).read_text(encoding="utf-8").startswith("# ")


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= 6_000


def test_an_index_of_packages_shows_a_readme_whose_links_lead_somewhere():
    shown = importlib.metadata.metadata("tlkeras").get_payload()
    assert shown.startswith("# tlkeras")
    targets = re.findall(r"\]\((.*?)\)", shown)
    assert len(targets) > 30
    assert {target.split(":")[0] for target in targets} == {"https"}
    raw = "https://raw.githubusercontent.com/tlkeras/tlkeras/main/"
    assert f"]({raw}docs/images/quickstart.png)" in shown


def test_the_citation_is_of_this_version():
    assert f"\nversion: {tl.__version__}\n" in (ROOT / "CITATION.cff").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("module", ["tlkeras", "pytest"])
def test_the_readme_names_one_command_for_the_main_job_and_one_for_the_tests(module):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"pip install .* && \S*python -m {module}$", readme, re.M)


# Pages whose Python blocks run one after the other; others have tests of their own.
PAGES = [
    "README.md",
    "docs/classify_pictures.md",
    "docs/evaluating.md",
    "docs/fine_tuning.md",
    "docs/index.md",
    "docs/texts.md",
    *(f"docs/concepts/{name}.md" for name in ("cache", "freeze_point", "two_phases")),
    "docs/concepts/verified.md",
    *(f"docs/coming_from/{name}.md" for name in ("fastai", "hugging_face", "keras")),
    "docs/coming_from/keras_hub.md",
]
# VGG16 at its full size, and what the tests of the verbs do as well.
LONG_PAGES = {"README.md", "docs/classify_pictures.md", "docs/fine_tuning.md"}
LONG_PAGES |= {page for page in PAGES if page.startswith("docs/coming_from/")}
LONG_PAGES |= {"docs/index.md", "docs/concepts/two_phases.md"}
LONG_PAGES |= {"docs/evaluating.md", "docs/texts.md"}
# In place of what is large or far away: the same code on what is small and here.
SMALL = [
    (r"epochs=\d+", "epochs=1"),
    (r"keras\.applications\.MobileNetV2\(.*?\)", "small()"),
    (r'"mobilenet_v2"', "small()"),
    (r'"bert_tiny_en_uncased"', '"./bert"'),
]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (page in LONG_PAGES))
        for page in PAGES
    ],
)
def test_the_python_blocks_of_a_page_run(page, offline_folder):
    written = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(PYTHON_BLOCK.finditer(written))
    assert blocks
    names = {"__name__": "__main__", "tl": tl, "small": lambda: tiny_backbone(32)}
    if page != "README.md":
        names["data"] = flower_data()
        names["model"] = tl.image_classifier(tiny_backbone(32), ["daisy", "rose"])
    if "reviews.csv" in written:
        write_preset(offline_folder / "bert", *tiny_bert(max_sequence_length=512))
        write_films(offline_folder / "reviews.csv", ("text", "label"))
    for block in blocks:
        exec(compile(quick(written, block, page), page, "exec"), names)


@pytest.mark.slow
def test_the_example_of_several_heads_runs(offline_folder, monkeypatch):
    """On a smaller backbone and smaller pictures: the page's take minutes."""
    monkeypatch.setenv("TLKERAS_CACHE", str(offline_folder / "cache"))
    lines = ["file,species,cm"]
    for i in range(40):
        name = f"{i}.jpg"
        Path(name).write_bytes(encode(picture(seed=i), "JPEG"))
        lines.append(f"{name},{'bee' if i % 2 else 'ant'},{i / 40 if i % 5 else ''}")
    Path("insects.csv").write_text("\n".join(lines), encoding="utf-8")
    page = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    block = re.search(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    block = block.replace("mobilenet_v2", "glyphnet").replace(
        'image="file"', 'image="file", image_size=32, color_mode="grayscale"'
    )
    namespace = {"tl": tl}
    exec(block.replace("(model, data)", "(model, data, epochs=1)"), namespace)
    assert namespace["model"].problem == namespace["data"].problem.but(
        input=namespace["model"].problem.input, outputs=namespace["heads"]
    )


def quick(written, block, page):
    """Returns a block that trains for 1 epoch where it says more, on small models.

    Empty lines before it make the lines of a traceback those of the page.
    """
    lines_before, code = written.count("\n", 0, block.start(1)), block[1]
    replaced = SMALL[:1] if page == "README.md" else SMALL
    for what, by in replaced:
        code = re.sub(what, by, code)
    if page != "README.md":
        code = code.replace("224", "32")
    return "\n" * lines_before + code


def test_every_public_name_is_on_one_page_of_the_reference():
    pages = (ROOT / "docs" / "api").glob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert sorted(re.findall(r"^::: tlkeras\.(\w+)$", text, re.M)) == sorted(tl.__all__)


def test_messages_that_the_docs_explain_are_those_of_the_package():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    shown = re.findall(r"^### (`+) ?(.*?) ?\1$", page, re.M)
    assert len(shown) > 20
    said = "\0".join(map(literals, map(inspect.getsource, package_modules())))
    parts = {part.strip() for _, text in shown for part in text.split("…")}
    assert not [part for part in parts if part not in said]


def literals(source):
    """Returns the text of a module's strings, joined, what is put in left out."""
    return "\0".join(
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_public_docstrings_have_their_sections():
    """What has arguments says them; what returns says what; a verb shows an example."""
    functions = {
        n: v for n, v in PUBLIC.items() if inspect.isfunction(v) and "." not in n
    }
    texts = {name: inspect.getdoc(value) for name, value in functions.items()}
    wanted = {
        name: ["Example"]
        + ["Args"] * bool(arguments_of(function))
        + ["Returns"] * (inspect.signature(function).return_annotation is not None)
        for name, function in functions.items()
    }
    missing = {
        name: [s for s in sections if not re.search(rf"^{s}:$", texts[name], re.M)]
        for name, sections in wanted.items()
    }
    assert not {name: sections for name, sections in missing.items() if sections}


def test_public_docstrings_say_what_their_functions_raise():
    """Where a public function raises an error in its own body, `Raises` names it."""
    missing = {}
    for name, value in PUBLIC.items():
        if inspect.isclass(value) or "." in name:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
        raised = {
            node.exc.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and isinstance(node.exc.func, ast.Name)
            and node.exc.func.id[0].isupper()
        }
        text = inspect.getdoc(value)
        said = text[text.find("Raises:") :] if "Raises:" in text else ""
        missing[name] = {error for error in raised if error not in said}
    assert not {name: errors for name, errors in missing.items() if errors}
